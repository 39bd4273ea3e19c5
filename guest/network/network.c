/* SPDX-License-Identifier: MIT */
/* Interfaces by ioctl, which needs no program of the image; the files of /etc by replacement. */
#include "guest/network/network.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/base/files.h"
#include "guest/base/log.h"

#define NET_CLASS "/sys/class/net"

/* An ethernet device that has hardware: not docker's bridges and veths when configured again. */
static bool is_ethernet(const char *name) {
    char path[512];
    struct stat status;
    (void)snprintf(path, sizeof path, NET_CLASS "/%s/device", name);
    if (stat(path, &status) < 0) {
        return false;
    }
    char type[16];
    (void)snprintf(path, sizeof path, NET_CLASS "/%s/type", name);
    return dinv_file_read(path, type, sizeof type) > 0 && atoi(type) == ARPHRD_ETHER;
}

/* Of several ethernet devices the one whose name sorts first. 0 or -errno. */
static int find_ethernet(char name[static IFNAMSIZ]) {
    DIR *directory = opendir(NET_CLASS);
    if (directory == NULL) {
        return -errno;
    }
    name[0] = '\0';
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strlen(entry->d_name) < IFNAMSIZ && entry->d_name[0] != '.' &&
            is_ethernet(entry->d_name) && (name[0] == '\0' || strcmp(entry->d_name, name) < 0)) {
            (void)snprintf(name, IFNAMSIZ, "%s", entry->d_name);
        }
    }
    closedir(directory);
    return name[0] != '\0' ? 0 : -ENODEV;
}

static struct sockaddr to_sockaddr(struct in_addr address) {
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr = address};
    struct sockaddr general;
    memcpy(&general, &internet, sizeof general);
    return general;
}

static struct ifreq request_for(const char *device) {
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    return request;
}

static int set_up(int fd, const char *device) {
    struct ifreq request = request_for(device);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        return -errno;
    }
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP | IFF_RUNNING);
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* User-Mode Linux has another name for it. A device that is up keeps its name: it is down at the
 * first configuration, and has the name at a later one. */
static int rename_to_usual(int fd, char device[static IFNAMSIZ]) {
    if (strcmp(device, DINV_NETWORK_INTERFACE) == 0) {
        return 0;
    }
    struct ifreq request = request_for(device);
    (void)snprintf(request.ifr_newname, sizeof request.ifr_newname, "%s", DINV_NETWORK_INTERFACE);
    if (ioctl(fd, SIOCSIFNAME, &request) < 0) {
        return -errno;
    }
    (void)snprintf(device, IFNAMSIZ, "%s", DINV_NETWORK_INTERFACE);
    return 0;
}

static int set_ethernet_address(int fd, const char *device,
                                const DinvNetworkConfiguration *network) {
    struct ifreq request = request_for(device);
    request.ifr_addr = to_sockaddr(network->address);
    if (ioctl(fd, SIOCSIFADDR, &request) < 0) {
        return -errno;
    }
    struct in_addr mask = {.s_addr = htonl(UINT32_MAX << (32 - network->prefix))};
    request.ifr_netmask = to_sockaddr(mask);
    return ioctl(fd, SIOCSIFNETMASK, &request) < 0 ? -errno : 0;
}

static int set_mtu(int fd, const char *device, unsigned mtu) {
    struct ifreq request = request_for(device);
    request.ifr_mtu = (int)mtu;
    return ioctl(fd, SIOCSIFMTU, &request) < 0 ? -errno : 0;
}

static int set_default_route(int fd, char *device, struct in_addr gateway) {
    struct rtentry route = {
        .rt_dst = to_sockaddr((struct in_addr){0}),
        .rt_genmask = to_sockaddr((struct in_addr){0}),
        .rt_flags = RTF_UP,
        .rt_dev = device,
    };
    /* One of an earlier configuration, if any. */
    (void)ioctl(fd, SIOCDELRT, &route);
    if (gateway.s_addr == 0) {
        return 0;
    }
    route.rt_gateway = to_sockaddr(gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? -errno : 0;
}

static int configure_ethernet(int fd, const DinvNetworkConfiguration *network) {
    char device[IFNAMSIZ];
    const char *step = "find an ethernet device";
    int result = find_ethernet(device);
    if (result == 0) {
        step = "name the device";
        result = rename_to_usual(fd, device);
    }
    if (result == 0 && network->mtu != 0) {
        step = "set the MTU";
        result = set_mtu(fd, device, network->mtu);
    }
    if (result == 0) {
        step = "set the address";
        result = set_ethernet_address(fd, device, network);
    }
    if (result == 0) {
        step = "bring the device up";
        result = set_up(fd, device);
    }
    if (result == 0) {
        step = "set the default route";
        result = set_default_route(fd, device, network->gateway);
    }
    if (result < 0) {
        dinv_log_error("network: cannot %s: %s", step, strerror(-result));
    }
    return result;
}

int dinv_network_configure(const DinvNetworkConfiguration *network) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        int error = errno;
        dinv_log_error("network: no sockets: %s", strerror(error));
        return -error;
    }
    int result = set_up(fd, "lo");
    if (result < 0) {
        dinv_log_error("network: cannot bring loopback up: %s", strerror(-result));
    } else if (network->present) {
        result = configure_ethernet(fd, network);
    }
    close(fd);
    return result;
}

static void print_list(FILE *to, const char *keyword, char *const *list) {
    if (list[0] == NULL) {
        return;
    }
    (void)fputs(keyword, to);
    for (; *list != NULL; list++) {
        (void)fprintf(to, " %s", *list);
    }
    (void)fputc('\n', to);
}

static void print_resolv_conf(FILE *to, const DinvNetworkConfiguration *network,
                              const char *hostname) {
    (void)hostname;
    print_list(to, "search", network->search);
    for (char **server = network->dns; *server != NULL; server++) {
        (void)fprintf(to, "nameserver %s\n", *server);
    }
    print_list(to, "options", network->options);
}

static void print_hosts(FILE *to, const DinvNetworkConfiguration *network, const char *hostname) {
    (void)fputs("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", to);
    if (hostname != NULL) {
        (void)fprintf(to, "127.0.1.1\t%s\n", hostname);
    }
    for (size_t index = 0; index < network->host_count; index++) {
        (void)fprintf(to, "%s\t%s\n", network->hosts[index].address, network->hosts[index].name);
    }
}

static void print_hostname(FILE *to, const DinvNetworkConfiguration *network,
                           const char *hostname) {
    (void)network;
    (void)fprintf(to, "%s\n", hostname);
}

typedef void (*PrintFile)(FILE *to, const DinvNetworkConfiguration *network, const char *hostname);

static int write_etc_file(const char *directory, const char *name, PrintFile print,
                          const DinvNetworkConfiguration *network, const char *hostname) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) {
        return -ENOMEM;
    }
    print(to, network, hostname);
    char path[4096];
    int result = fclose(to) != 0 ? -ENOMEM : 0;
    if (result == 0) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, name);
        result = dinv_file_replace(path, text);
    }
    free(text);
    return result;
}

int dinv_network_write_resolv_conf(const char *directory, const DinvNetworkConfiguration *network) {
    return write_etc_file(directory, "resolv.conf", print_resolv_conf, network, NULL);
}

int dinv_network_write_files(const char *directory, const DinvNetworkConfiguration *network,
                             const char *hostname) {
    int result = dinv_network_write_resolv_conf(directory, network);
    if (result == 0) {
        result = write_etc_file(directory, "hosts", print_hosts, network, hostname);
    }
    if (result == 0 && hostname != NULL) {
        result = write_etc_file(directory, "hostname", print_hostname, network, hostname);
    }
    return result;
}
