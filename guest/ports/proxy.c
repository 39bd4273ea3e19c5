/* SPDX-License-Identifier: MIT */
/*
 * A process of its own beside the agent, started and ended by dockerd. It has one thing to do, so
 * it blocks, each wait with a deadline or until a signal; proxy.h has the theory of operation.
 */
#include "guest/ports/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/base/loop.h"
#include "guest/base/unix-socket.h"
#include "guest/network/network.h"
#include "guest/ports/request.h"

enum {
    VERDICT_FD = 3,
    LISTEN_FD = 4,
    LOCAL_PROXIES_MAX = 2,
    START_MS = 14000, /* dockerd waits 16 s for the verdict, then forgets us: nothing may be left */
    RELEASE_MS = 10000, /* until dockerd's user is let go, who waits for our end */
    LINE_SIZE = DINV_PUBLISH_LINE_SIZE,
};

typedef struct {
    const DinvPortsProxyPlan *plan;
    DinvPortsProxyArguments arguments;
    uint64_t start_deadline_ms;
    int signal_fd;
    int agent_fd;                /* -1: not asked */
    bool published;              /* the agent has said yes */
    DinvPortsWish wish;          /* what it is asked for */
    char guest[INET_ADDRSTRLEN]; /* the guest's own address on the way out; empty if it has none */
    pid_t locals[LOCAL_PROXIES_MAX];
    unsigned local_count;
    char problem[LINE_SIZE];
} PortProxy;

/* --- Arguments --- */

static bool parse_port_option(const char *text, unsigned *port) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > 65535) {
        return false;
    }
    *port = (unsigned)value;
    return true;
}

static bool is_ipv4(const char *text) {
    struct in_addr address;
    return inet_pton(AF_INET, text, &address) == 1;
}

static bool is_address(const char *text) {
    struct in6_addr address;
    return is_ipv4(text) || inet_pton(AF_INET6, text, &address) == 1;
}

/* The value of the option at argv[*index], behind it or behind a "="; NULL if there is none. */
static const char *value_of(int argc, char **argv, int *index) {
    const char *equals = strchr(argv[*index], '=');
    if (equals != NULL) {
        return equals + 1;
    }
    return *index + 1 < argc ? argv[++*index] : NULL;
}

static bool take_option(DinvPortsProxyArguments *arguments, const char *name, size_t len,
                        const char *value) {
    const struct {
        const char *name;
        const char **text;
        unsigned *port;
    } options[] = {
        {"proto", &arguments->protocol, NULL},
        {"host-ip", &arguments->host_ip, NULL},
        {"host-port", NULL, &arguments->host_port},
        {"container-ip", &arguments->container_ip, NULL},
        {"container-port", NULL, &arguments->container_port},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strlen(options[i].name) != len || memcmp(options[i].name, name, len) != 0) {
            continue;
        }
        if (options[i].port != NULL) {
            return parse_port_option(value, options[i].port);
        }
        *options[i].text = value;
        return true;
    }
    return true; /* of a later Docker, and not for us */
}

bool dinv_ports_proxy_parse(int argc, char **argv, DinvPortsProxyArguments *arguments,
                            const char **problem) {
    *arguments = (DinvPortsProxyArguments){.protocol = "tcp", .host_ip = "", .container_ip = ""};
    for (int index = 1; index < argc; index++) {
        const char *name = argv[index] + strspn(argv[index], "-");
        size_t len = strcspn(name, "=");
        if (name == argv[index]) {
            *problem = "dinv-port-proxy: an argument is not an option";
            return false;
        }
        if (len == strlen("use-listen-fd") && memcmp(name, "use-listen-fd", len) == 0) {
            arguments->use_listen_fd = name[len] == '\0' || strcmp(name + len, "=true") == 0;
            continue;
        }
        const char *value = value_of(argc, argv, &index);
        if (value == NULL || !take_option(arguments, name, len, value)) {
            *problem = "dinv-port-proxy: an option has no value that makes sense";
            return false;
        }
    }
    if (!is_address(arguments->host_ip) || !is_address(arguments->container_ip) ||
        arguments->host_port == 0 || arguments->container_port == 0) {
        *problem = "dinv-port-proxy: addresses and ports of host and container are expected";
        return false;
    }
    return true;
}

/* --- Waiting --- */

static void set_problem(PortProxy *proxy, const char *text) {
    (void)snprintf(proxy->problem, sizeof proxy->problem, "%s", text);
}

static uint64_t min(uint64_t left, uint64_t right) {
    return left < right ? left : right;
}

/* Reads one line. False at the end, after the deadline, or when a signal says that it is over. */
static bool read_line_in_time(const PortProxy *proxy, int fd, char line[LINE_SIZE]) {
    size_t len = 0;
    while (len < LINE_SIZE - 1) {
        uint64_t now_ms = dinv_now_ms();
        uint64_t left_ms = proxy->start_deadline_ms - min(now_ms, proxy->start_deadline_ms);
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                               {.fd = proxy->signal_fd, .events = POLLIN}};
        int ready = poll(fds, 2, (int)left_ms);
        /* What a child said before it ended comes before its end. */
        if (ready <= 0 || fds[0].revents == 0) {
            return false;
        }
        ssize_t got = read(fd, line + len, 1);
        if (got < 0 && errno == EAGAIN) {
            continue;
        }
        if (got <= 0 || line[len] == '\n') {
            line[len] = '\0';
            return got > 0 || len > 0;
        }
        len++;
    }
    line[len] = '\0';
    return true;
}

/* --- Local clients --- */

/* Where a docker-proxy listens. */
typedef struct {
    const char *address;
    unsigned port;
    bool use_listen_fd;
} LocalPlace;

_Noreturn static void exec_local(const PortProxy *proxy, const LocalPlace *place, int verdict_fd) {
    const DinvPortsProxyArguments *arguments = &proxy->arguments;
    char host_port[8];
    (void)snprintf(host_port, sizeof host_port, "%u", place->port);
    char container_port[8];
    (void)snprintf(container_port, sizeof container_port, "%u", arguments->container_port);
    const char *argv[] = {"docker-proxy",
                          "-proto",
                          arguments->protocol,
                          "-host-ip",
                          place->address,
                          "-host-port",
                          host_port,
                          "-container-ip",
                          arguments->container_ip,
                          "-container-port",
                          container_port,
                          place->use_listen_fd ? "-use-listen-fd" : NULL,
                          NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)dup2(verdict_fd, VERDICT_FD);
    execv(proxy->plan->local_proxy, (char *const *)argv);
    _exit(127);
}

/* What docker-proxy says on its descriptor 3 is what we say on ours. */
static bool hear_local(PortProxy *proxy, int fd) {
    char line[LINE_SIZE];
    if (!read_line_in_time(proxy, fd, line)) {
        set_problem(proxy, "docker-proxy did not start");
        return false;
    }
    if (strcmp(line, "0") == 0) {
        return true;
    }
    if (!read_line_in_time(proxy, fd, proxy->problem) || proxy->problem[0] == '\0') {
        set_problem(proxy, "docker-proxy failed");
    }
    return false;
}

static bool start_local(PortProxy *proxy, const LocalPlace *place) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        set_problem(proxy, strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        exec_local(proxy, place, ends[1]);
    }
    close(ends[1]);
    bool started = pid > 0;
    if (started) {
        proxy->locals[proxy->local_count++] = pid;
        started = hear_local(proxy, ends[0]);
    } else {
        set_problem(proxy, strerror(errno));
    }
    close(ends[0]);
    return started;
}

/* The guest's own address on the way out; empty if it has none. */
static void get_guest_address(const char *interface, char text[INET_ADDRSTRLEN]) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    text[0] = '\0';
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (fd >= 0 && ioctl(fd, SIOCGIFADDR, &request) == 0) {
        struct sockaddr_in address;
        memcpy(&address, &request.ifr_addr, sizeof address);
        (void)inet_ntop(AF_INET, &address.sin_addr, text, INET_ADDRSTRLEN);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* A socket address of the text, which is IPv4 or IPv6, and its length. */
static socklen_t make_name(const char *address, unsigned port, struct sockaddr_storage *name) {
    memset(name, 0, sizeof *name);
    if (is_ipv4(address)) {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        (void)inet_pton(AF_INET, address, &ipv4.sin_addr);
        memcpy(name, &ipv4, sizeof ipv4);
        return sizeof ipv4;
    }
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    (void)inet_pton(AF_INET6, address, &ipv6.sin6_addr);
    memcpy(name, &ipv6, sizeof ipv6);
    return sizeof ipv6;
}

/* A socket that is bound there as docker-proxy's would be; -1 if it cannot be. */
static int bind_socket(int type, const char *address, unsigned port) {
    struct sockaddr_storage name;
    socklen_t len = make_name(address, port, &name);
    int fd = socket(name.ss_family, type | SOCK_CLOEXEC, 0);
    int yes = 1;
    if (fd < 0) {
        return -1;
    }
    /* Old connections that linger are in nobody's way. UDP ports could be shared like that. */
    if ((type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) ||
        bind(fd, (const struct sockaddr *)&name, len) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_own_address(const char *address) {
    int fd = bind_socket(SOCK_DGRAM, address, 0);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* A port of the guest's address that nobody has: this one, or for 0 any. 0 if there is none. */
static unsigned find_guest_port(const PortProxy *proxy, unsigned port) {
    bool is_udp = strcmp(proxy->arguments.protocol, "udp") == 0;
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    int fd = bind_socket(is_udp ? SOCK_DGRAM : SOCK_STREAM, proxy->guest, port);
    bool found = fd >= 0 && getsockname(fd, (struct sockaddr *)&name, &len) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return found ? ntohs(name.sin_port) : 0;
}

/* A docker-proxy for what comes from outside. */
static bool serve_guest_port(PortProxy *proxy, unsigned port) {
    const LocalPlace place = {.address = proxy->guest, .port = port};
    proxy->wish.guest_port = port;
    proxy->wish.is_shared = false;
    return start_local(proxy, &place);
}

static bool serve_local(PortProxy *proxy) {
    const DinvPortsProxyArguments *arguments = &proxy->arguments;
    const LocalPlace place = {.address = arguments->host_ip,
                              .port = arguments->host_port,
                              .use_listen_fd = arguments->use_listen_fd};
    bool any = strcmp(arguments->host_ip, "0.0.0.0") == 0;
    proxy->wish.guest_port = arguments->host_port;
    proxy->wish.is_guests = any || is_own_address(arguments->host_ip);
    get_guest_address(proxy->plan->interface, proxy->guest);
    if (proxy->wish.is_guests && !start_local(proxy, &place)) {
        return false;
    }
    if (any || proxy->guest[0] == '\0' || strcmp(arguments->host_ip, proxy->guest) == 0) {
        return true;
    }
    if (find_guest_port(proxy, arguments->host_port) == 0) {
        proxy->wish.is_shared = true;
        return true;
    }
    return serve_guest_port(proxy, arguments->host_port);
}

/* --- Clients outside --- */

static bool ask_agent(PortProxy *proxy) {
    const DinvPortsProxyArguments *arguments = &proxy->arguments;
    char container[INET6_ADDRSTRLEN + 16];
    (void)snprintf(container, sizeof container, "%s:%u", arguments->container_ip,
                   arguments->container_port);
    proxy->wish.protocol = arguments->protocol;
    proxy->wish.address = arguments->host_ip;
    proxy->wish.port = arguments->host_port;
    proxy->wish.container = container;
    char line[DINV_PUBLISH_LINE_SIZE];
    int len = dinv_ports_request_format(line, &proxy->wish);
    proxy->wish.container = NULL;
    return len > 0 && send(proxy->agent_fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Whether the agent says yes; else the problem is set. */
static bool request_forward(PortProxy *proxy) {
    char line[LINE_SIZE];
    proxy->agent_fd = dinv_unix_socket_connect(proxy->plan->agent_socket);
    if (proxy->agent_fd < 0 || !ask_agent(proxy) ||
        !read_line_in_time(proxy, proxy->agent_fd, line)) {
        set_problem(proxy, "dinv's agent does not answer, the port is not published");
        return false;
    }
    proxy->published = strcmp(line, "ok") == 0;
    set_problem(proxy, strncmp(line, "error ", 6) == 0 ? line + 6 : line);
    return proxy->published;
}

/* The guest's port is another container's: one of our own choice then. */
static bool serve_elsewhere(PortProxy *proxy) {
    unsigned port = find_guest_port(proxy, 0);
    if (proxy->agent_fd >= 0) {
        close(proxy->agent_fd);
        proxy->agent_fd = -1;
    }
    return port != 0 && serve_guest_port(proxy, port);
}

static bool publish_port(PortProxy *proxy) {
    if (request_forward(proxy)) {
        return true;
    }
    return proxy->wish.is_shared && serve_elsewhere(proxy) && request_forward(proxy);
}

/* --- The end --- */

static void release_forward(const PortProxy *proxy) {
    uint64_t deadline_ms = dinv_now_ms() + RELEASE_MS;
    (void)shutdown(proxy->agent_fd, SHUT_WR);
    for (uint64_t now_ms; (now_ms = dinv_now_ms()) < deadline_ms;) {
        struct pollfd pollfd = {.fd = proxy->agent_fd, .events = POLLIN};
        char byte;
        if (poll(&pollfd, 1, (int)(deadline_ms - now_ms)) > 0 &&
            read(proxy->agent_fd, &byte, 1) <= 0) {
            break;
        }
    }
}

/* From outside first: nobody is to be let in who then finds nobody. An agent that has not said yes
 * is not waited for: it sees to it that nothing stays of the request. */
static void release_port(PortProxy *proxy) {
    if (proxy->published) {
        release_forward(proxy);
    }
    if (proxy->agent_fd >= 0) {
        close(proxy->agent_fd);
    }
    for (unsigned i = 0; i < proxy->local_count; i++) {
        (void)kill(proxy->locals[i], SIGKILL);
        (void)waitpid(proxy->locals[i], NULL, 0);
    }
}

/* Until a signal comes, or a docker-proxy has ended: the exit status. */
static int wait_for_signal(const PortProxy *proxy) {
    struct signalfd_siginfo info = {0};
    while (read(proxy->signal_fd, &info, sizeof info) < 0 && errno == EAGAIN) {
        struct pollfd pollfd = {.fd = proxy->signal_fd, .events = POLLIN};
        (void)poll(&pollfd, 1, -1);
    }
    return info.ssi_signo == SIGCHLD ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Whether anybody has heard it. */
static bool give_verdict(const char *problem) {
    char text[LINE_SIZE + 8];
    int len = problem == NULL ? snprintf(text, sizeof text, "0\n")
                              : snprintf(text, sizeof text, "1\n%s\n", problem);
    bool heard = write(VERDICT_FD, text, (size_t)len) == len;
    close(VERDICT_FD);
    return heard;
}

static int watch_proxy_signals(void) {
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* No descriptor that we open may come to lie on those that dockerd gives, or does not give. */
static void keep_low_descriptors(void) {
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= LISTEN_FD) {
    }
    if (fd >= 0) {
        close(fd);
    }
    (void)fcntl(VERDICT_FD, F_SETFD, FD_CLOEXEC);
}

int dinv_ports_proxy_run(int argc, char **argv, const DinvPortsProxyPlan *plan) {
    PortProxy proxy = {.plan = plan, .agent_fd = -1, .start_deadline_ms = dinv_now_ms() + START_MS};
    const char *problem = NULL;
    keep_low_descriptors();
    if (!dinv_ports_proxy_parse(argc, argv, &proxy.arguments, &problem)) {
        (void)give_verdict(problem);
        return EXIT_FAILURE;
    }
    proxy.signal_fd = watch_proxy_signals();
    if (!serve_local(&proxy) || !publish_port(&proxy)) {
        release_port(&proxy);
        (void)give_verdict(proxy.problem);
        return EXIT_FAILURE;
    }
    /* A dockerd that waits no more has told its user that the port is not published. */
    int status = give_verdict(NULL) ? wait_for_signal(&proxy) : EXIT_FAILURE;
    release_port(&proxy);
    return status;
}

int dinv_ports_proxy_main(int argc, char **argv) {
    static const DinvPortsProxyPlan plan = {.local_proxy = "/usr/sbin/docker-proxy",
                                            .agent_socket = DINV_PORT_PROXY_SOCKET,
                                            .interface = DINV_NETWORK_INTERFACE};
    return dinv_ports_proxy_run(argc, argv, &plan);
}
