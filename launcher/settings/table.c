/* SPDX-License-Identifier: MIT */
/*
 * The rows of the table. Their order is that of help, man page and README. After a change
 * `make docs` brings the documents up to date (test docs-generated).
 */
#include "launcher/settings/table.h"

#include <string.h>

#include "launcher/host/limits.h"

/* Where the image installs the guest's kernel and root file system. */
#ifndef DINV_LIBDIR
#define DINV_LIBDIR "/usr/lib/dinv"
#endif

#define MEBI   (G_GUINT64_CONSTANT(1) << 20)
#define GIBI   (G_GUINT64_CONSTANT(1) << 30)
#define SECOND G_GUINT64_CONSTANT(1000)

#define DINV_STRINGIFIED(name) G_STRINGIFY(name)

#define FIELD(name)  G_STRUCT_OFFSET(DinvConfig, name)
#define CHOICES(...) ((const DinvSettingChoice[]){__VA_ARGS__, {NULL, 0}})

/* VAR_LIB_DOCKER_SIZE is a number of gigabytes, or a size. */
static char *size_from_gigabytes(const char *value) {
    gboolean is_number = value[strspn(value, "0123456789")] == '\0';
    return g_strconcat(value, is_number ? "G" : "", NULL);
}

/* LOG says where dockerd's log goes; for "file" the name is fixed. */
static char *log_file_from_kind(const char *value) {
    return strcmp(value, "file") == 0 ? g_strdup("/var/log/docker.log") : NULL;
}

static const DinvSetting table[] = {
    {
        .name = "DINV_ACCEL",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(accel),
        .choices = CHOICES({"auto", DINV_ACCEL_AUTO}, {"kvm", DINV_ACCEL_KVM},
                           {"uml", DINV_ACCEL_UML}, {"tcg", DINV_ACCEL_TCG}),
        .fallback = "auto",
        .help = "how the guest runs: KVM, User-Mode Linux, emulated (TCG), or the first that works",
        .more =
            "auto tests /dev/kvm with a tiny virtual machine, then starts User-Mode Linux for a "
            "moment, and takes the first that works; emulation, which is many times slower, is "
            "the last. kvm or uml that does not work stops with exit status 125 instead.",
    },
    {
        .name = "DINV_UML",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(uml),
        .choices = CHOICES({"seccomp", DINV_UML_SECCOMP}, {"ptrace", DINV_UML_PTRACE}),
        .fallback = "seccomp",
        .help = "how User-Mode Linux runs the guest's programs",
        .more = "seccomp is faster; a program in the guest that tries to can then become the "
                "guest's kernel, which is locked into the outer container either way. ptrace keeps "
                "the two apart, and knows one CPU only. docs/security.md says more.",
    },
    {
        .name = "DINV_MACHINE",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(machine),
        .choices = CHOICES({"microvm", DINV_MACHINE_TYPE_MICROVM}, {"q35", DINV_MACHINE_TYPE_Q35}),
        .fallback = "microvm",
        .help = "the machine that QEMU makes",
        .more = "q35 is for a QEMU without microvm, or a DINV_KERNEL without virtio-mmio. It "
                "starts a little later, and its devices are on PCI.",
    },
    {
        .name = "DINV_CPUS",
        .type = DINV_TYPE_NUMBER,
        .field = FIELD(cpus),
        .argument = "N",
        .fallback_shown = "CPUs of the container",
        .minimum = 1,
        .maximum = DINV_CPUS_MAXIMUM,
        .rule = dinv_settings_rule_cpus,
        .help = "number of the guest's CPUs",
        .more = "The default is the number of CPUs that this process may run on, or the CPU quota "
                "of its cgroup (docker run --cpus) rounded up where that is less; with User-Mode "
                "Linux it is one.",
    },
    {
        .name = "DINV_MEMORY",
        .type = DINV_TYPE_SIZE,
        .field = FIELD(memory_bytes),
        .argument = "SIZE",
        .fallback_shown = "memory limit of the container, less 1/8",
        .minimum = DINV_MEMORY_MINIMUM,
        .maximum = 4096 * GIBI,
        .help = "the guest's memory, such as 512M or 1.5G",
        .more = "Where the container has a memory limit (docker run --memory), the default is that "
                "limit less what QEMU itself needs: an eighth of it, at least 256M. Without a "
                "limit it is half of the machine's memory, at most 8G. The guest takes memory as "
                "it uses it and gives free memory back.",
    },
    {
        .name = "DINV_DISK_SIZE",
        .alias = "DINV_DOCKER_SIZE",
        .foreign = {"VAR_LIB_DOCKER_SIZE", size_from_gigabytes},
        .type = DINV_TYPE_SIZE,
        .field = FIELD(disk_bytes),
        .argument = "SIZE",
        .fallback = "64G",
        .minimum = 1 * GIBI,
        .maximum = 16384 * GIBI,
        .help = "size of the disk for images, containers and volumes",
        .more = "The disk is a sparse file, data.img in the state directory: it takes what is "
                "used. A larger size makes an existing disk grow at the next start; it never "
                "shrinks.",
    },
    {
        .name = "DINV_STATE_DIR",
        .type = DINV_TYPE_PATH,
        .field = FIELD(state_dir),
        .argument = "DIRECTORY",
        .fallback = "/var/lib/dinv",
        .rule = dinv_settings_rule_state_dir,
        .help = "where the data disk and the console log are kept",
        .more = "Make it a volume to keep images and containers. Only one dinv can use it at a "
                "time. Where it is not set and a volume is mounted at /var/lib/docker, as "
                "docker:dind's users have it, it is dinv in that volume, unless there is a disk "
                "in /var/lib/dinv already.",
    },
    {
        .name = "DINV_VOLUME_PATH",
        .type = DINV_TYPE_GUEST_PATH,
        .field = FIELD(volume_path),
        .argument = "PATH",
        .fallback_shown = "none",
        .help = "where the guest has a private volume, a second disk",
        .more =
            "docker run -v PATH:… in the guest uses it, at the speed of the data disk and "
            "with owners and modes of its own. It is volume.img in the state directory, and kept "
            "like data.img.",
    },
    {
        .name = "DINV_VOLUME_SIZE",
        .type = DINV_TYPE_SIZE,
        .field = FIELD(volume_bytes),
        .argument = "SIZE",
        .fallback = "64G",
        .minimum = 256 * MEBI,
        .maximum = 16384 * GIBI,
        .help = "size of the private volume",
        .more = "As DINV_DISK_SIZE: it takes what is used, may grow, and never shrinks.",
    },
    {
        .name = "DINV_VOLUME_UID",
        .type = DINV_TYPE_UID,
        .field = FIELD(volume_uid),
        .argument = "UID",
        .fallback_shown = "as it is, at first 0",
        .help = "owner of the private volume's top directory, a number",
    },
    {
        .name = "DINV_VOLUME_GID",
        .type = DINV_TYPE_GID,
        .field = FIELD(volume_gid),
        .argument = "GID",
        .fallback_shown = "as it is, at first 0",
        .help = "group of the private volume's top directory, a number",
    },
    {
        .name = "DINV_SOCKET",
        .type = DINV_TYPE_PATH,
        .field = FIELD(socket_path),
        .argument = "PATH",
        .fallback = "/var/run/docker.sock",
        .rule = dinv_settings_rule_socket,
        .help = "the unix socket where the Docker engine answers",
    },
    {
        .name = "DINV_SOCKET_LINK",
        .type = DINV_TYPE_PATH,
        .field = FIELD(socket_link),
        .argument = "PATH",
        .fallback_shown = "none",
        .help = "a symbolic link to the socket that is made where nothing else is",
        .more = "With it, clients that look at the usual path find a socket that DINV_SOCKET has "
                "elsewhere, as with docker exec; the container image sets /var/run/docker.sock.",
    },
    {
        .name = "DINV_SOCKET_UID",
        .alias = "DINV_DOCKER_SOCK_UID",
        .type = DINV_TYPE_UID,
        .field = FIELD(socket_uid),
        .argument = "UID",
        .fallback_shown = "user of dinv",
        .help = "owner of the socket, a number",
    },
    {
        .name = "DINV_SOCKET_GID",
        .alias = "DINV_DOCKER_SOCK_GID",
        .type = DINV_TYPE_GID,
        .field = FIELD(socket_gid),
        .argument = "GID",
        .fallback_shown = "group of dinv",
        .help = "group of the socket, a number",
    },
    {
        .name = "DINV_SOCKET_MODE",
        .type = DINV_TYPE_MODE,
        .field = FIELD(socket_mode),
        .argument = "MODE",
        .fallback = "0660",
        .help = "permissions of the socket, octal",
        .more = "Who may write to the socket is root in the guest, and can read and write "
                "DINV_MOUNTS.",
    },
    {
        .name = "DINV_TLS_CERTDIR",
        .alias = "DOCKER_TLS_CERTDIR",
        .type = DINV_TYPE_PATH,
        .flags = DINV_SETTING_TAKES_EMPTY,
        .field = FIELD(tls_directory),
        .argument = "DIRECTORY",
        .fallback_shown = "no TCP",
        .help = "where the certificates are kept or made with which the engine also answers on "
                "TCP port 2376",
        .more = "As in docker:dind: ca/, server/ and client/ in it hold key.pem, cert.pem and "
                "ca.pem, what is missing is made, and a client must show a certificate of that CA "
                "(docker --tlsverify). Set but empty, the engine answers without TLS on port 2375 "
                "instead. Not set, it answers on the unix socket alone.",
    },
    {
        .name = "DINV_TLS_SAN",
        .alias = "DOCKER_TLS_SAN",
        .type = DINV_TYPE_TLS_NAMES,
        .field = FIELD(tls_names),
        .argument = "NAMES",
        .fallback_shown = "none",
        .help = "more names of the server's certificate, such as "
                "DNS:ci.example.org,IP:192.0.2.7",
        .more = "It has those of the container, its addresses, docker and localhost anyway.",
    },
    {
        .name = "DINV_TLS_PORT",
        .type = DINV_TYPE_TCP_ADDRESS,
        .field = FIELD(tls),
        .argument = "[ADDRESS:]PORT",
        .fallback = "2376",
        .help = "the TCP port for DINV_TLS_CERTDIR",
    },
    {
        .name = "DINV_PLAINTEXT_PORT",
        .alias = "PORT",
        .type = DINV_TYPE_TCP_ADDRESS,
        .flags = DINV_SETTING_ALIAS_NOT_IN_CI,
        .field = FIELD(plaintext),
        .argument = "[ADDRESS:]PORT",
        .fallback_shown = "none, or 2375 if DINV_TLS_CERTDIR is set but empty",
        .help = "a TCP port where the engine answers without TLS, to everyone who reaches it",
        .more = "Who reaches it is root in the guest, and can read and write DINV_MOUNTS.",
    },
    {
        .name = "DINV_TCP_PORTS",
        .type = DINV_TYPE_TCP_PORTS,
        .field = FIELD(ports),
        .argument = "PORTS",
        .fallback_shown = "none",
        .help = "TCP ports to forward from the start, such as 8080;5000-5010;8443:443",
        .more = "An item is a port, a range, or outside:inside; items are separated by semicolons, "
                "commas or spaces.",
    },
    {
        .name = "DINV_UDP_PORTS",
        .type = DINV_TYPE_UDP_PORTS,
        .field = FIELD(ports),
        .argument = "PORTS",
        .fallback_shown = "none",
        .help = "UDP ports to forward from the start",
        .more = "The form is that of DINV_TCP_PORTS.",
    },
    {
        .name = "DINV_PUBLISH",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(publish),
        .choices = CHOICES({"on", DINV_PUBLISH_ON}, {"docker", DINV_PUBLISH_DOCKER},
                           {"off", DINV_PUBLISH_OFF}),
        .fallback = "on",
        .help = "which ports that are opened inside are reachable outside",
        .more = "on: those that are published (docker run -p), and those of containers with "
                "--network host and of a swarm's services; docker: those that are published; off: "
                "only those of DINV_TCP_PORTS and DINV_UDP_PORTS.",
    },
    {
        .name = "DINV_SUBNET",
        .type = DINV_TYPE_SUBNET,
        .field = FIELD(subnet),
        .argument = "NETWORK",
        .fallback_shown = "chosen to overlap nothing outside",
        .help = "the guest's own network, such as 10.0.2.0/24",
        .more = "The guest has the address .15 in it, the outer container .2, and the resolver .3. "
                "One that overlaps a network of the outer container is refused.",
    },
    {
        .name = "DINV_BIP",
        .type = DINV_TYPE_BRIDGE_ADDRESS,
        .field = FIELD(bip),
        .argument = "ADDRESS/PREFIX",
        .fallback_shown = "chosen to overlap nothing outside",
        .help = "the address of docker0 with its network, such as 172.30.0.1/16",
        .more = "As dockerd's --bip. One that overlaps a network of the outer container is "
                "refused: replies to clients there would not leave the guest.",
    },
    {
        .name = "DINV_MTU",
        .type = DINV_TYPE_NUMBER,
        .field = FIELD(mtu),
        .argument = "BYTES",
        .fallback = DINV_STRINGIFIED(DINV_MTU_MAXIMUM),
        .minimum = DINV_MTU_MINIMUM,
        .maximum = DINV_MTU_MAXIMUM,
        .help = "the largest packet on the guest's link and on Docker's bridges inside",
        .more = "Nothing of that size leaves the outer container, which has packets of its own: "
                "large ones inside only cost less. Networks get it unless DINV_DOCKERD_ARGS or "
                "daemon.json say otherwise (mtu for docker0, default-network-opts for others).",
    },
    {
        .name = "DINV_MOUNTS",
        .type = DINV_TYPE_MOUNTS,
        .field = FIELD(mounts),
        .argument = "MOUNTS",
        .fallback_shown = "none",
        .help = "directories and files to show in the guest, such as /src;/data:/inner:ro, or auto",
        .more = "An item is /source, /source:/target, or either with :ro behind it; items are "
                "separated by semicolons. The target is the path in the guest, which docker run -v "
                "then sees. auto, alone or as an item, stands for every bind mount and volume of "
                "the outer container, each at its own path; it is the container image's default. "
                "In a path \\\\, \\; and \\: are a backslash, a semicolon and a colon, and \\012 "
                "is the byte of that octal number. /proc, /sys and /dev are refused, and without "
                ":ro also the state directory and what any of these lies in. A file is shown as a "
                "read-only copy that follows it. docs/mounts.md has the details.",
    },
    {
        .name = "DINV_MOUNT_DRIVER",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(mount_driver),
        .choices = CHOICES({"9p", DINV_MOUNT_9P}, {"virtiofs", DINV_MOUNT_VIRTIOFS},
                           {"auto", DINV_MOUNT_AUTO}),
        .fallback = "9p",
        .help = "how mounts come into the guest",
        .more = "virtiofs is several times faster; it needs virtiofsd and root with Docker's "
                "default capabilities, and makes the guest's memory one that QEMU shares with "
                "virtiofsd. auto takes it where it can run, else 9p. Single files are over 9p in "
                "any case.",
    },
    {
        .name = "DINV_DOCKERD_ARGS",
        .alias = "DOCKER_DAEMON_ARGS",
        .type = DINV_TYPE_WORDS,
        .field = FIELD(dockerd_args),
        .argument = "ARGUMENTS",
        .fallback_shown = "none",
        .help = "more arguments for dockerd, quoted as in a shell",
    },
    {
        .name = "DINV_CONFIG_DIR",
        .type = DINV_TYPE_PATH,
        .field = FIELD(config_dir),
        .argument = "DIRECTORY",
        .fallback = "/etc/docker",
        .help = "where daemon.json and certs.d for the engine are",
        .more = "They are read once, at the start. Of daemon.json data-root, exec-root, pidfile, "
                "containerd and userland-proxy-path are not passed on; hosts, group and tls* are "
                "carried out here; bip and default-address-pools are passed on, and the other "
                "inner networks keep clear of them.",
    },
    {
        .name = "DINV_DOCKERD_LOG",
        .foreign = {"LOG", log_file_from_kind},
        .type = DINV_TYPE_PATH,
        .field = FIELD(dockerd_log),
        .argument = "FILE",
        .fallback_shown = "none",
        .help = "a file here to which dockerd's log is written, too",
    },
    {
        .name = "DINV_ON_READY",
        .type = DINV_TYPE_TEXT,
        .field = FIELD(on_ready),
        .argument = "COMMAND",
        .fallback_shown = "none",
        .help = "what /bin/sh runs here, outside the microVM, once when the engine answers",
        .more = "With DOCKER_HOST set, and before CMD. Until it has ended, dinv health says that "
                "dinv is not healthy. If it fails, dinv stops and exits with its status.",
    },
    {
        .name = "DINV_SHUTDOWN_TIMEOUT",
        .type = DINV_TYPE_DURATION,
        .field = FIELD(shutdown_timeout_ms),
        .argument = "SECONDS",
        .fallback = "8",
        .minimum = 1 * SECOND,
        .maximum = 3600 * SECOND,
        .help = "time for containers and guest to stop in order",
        .more = "Keep it below the time that stops the outer container by force (docker stop "
                "--timeout, 10 seconds by default).",
    },
    {
        .name = "DINV_BOOT_TIMEOUT",
        .type = DINV_TYPE_DURATION,
        .field = FIELD(boot_timeout_ms),
        .argument = "SECONDS",
        .fallback = "180",
        .minimum = 5 * SECOND,
        .maximum = 7200 * SECOND,
        .help = "time from the start until the engine must have answered",
    },
    {
        .name = "DINV_KERNEL",
        .type = DINV_TYPE_PATH,
        .field = FIELD(kernel),
        .argument = "FILE",
        .fallback = DINV_LIBDIR "/vmlinux",
        .help = "the guest's kernel: an ELF vmlinux or a bzImage",
    },
    {
        .name = "DINV_UML_KERNEL",
        .type = DINV_TYPE_PATH,
        .field = FIELD(uml_kernel),
        .argument = "FILE",
        .fallback = DINV_LIBDIR "/linux-uml",
        .help = "the kernel for User-Mode Linux, a program",
    },
    {
        .name = "DINV_INITRD",
        .type = DINV_TYPE_PATH,
        .field = FIELD(initrd),
        .argument = "FILE",
        .fallback_shown = "none",
        .help = "initramfs for a kernel that needs one",
    },
    {
        .name = "DINV_ROOTFS",
        .type = DINV_TYPE_PATH,
        .field = FIELD(rootfs),
        .argument = "FILE",
        .fallback = DINV_LIBDIR "/rootfs.ext4",
        .help = "image of the guest's root file system",
    },
    {
        .name = "DINV_QEMU",
        .type = DINV_TYPE_PROGRAM,
        .field = FIELD(qemu),
        .argument = "PROGRAM",
        .fallback = "qemu-system-x86_64",
        .help = "the QEMU to run, a name or a path",
    },
    {
        .name = "DINV_USERNET",
        .type = DINV_TYPE_PROGRAM,
        .field = FIELD(usernet),
        .argument = "PROGRAM",
        .fallback = DINV_LIBDIR "/dinv-usernet",
        .help = "the program that is the guest's network, a name or a path",
    },
    {
        .name = "DINV_VIRTIOFSD",
        .type = DINV_TYPE_PATH,
        .field = FIELD(virtiofsd),
        .argument = "FILE",
        .fallback_shown = "Debian's",
        .help = "the virtiofsd that serves mounts over virtio-fs",
        .more = "Without it /usr/libexec/virtiofsd is taken, else the one that QEMU 7.2 had, which "
                "User-Mode Linux cannot use.",
    },
    {
        .name = "DINV_LOG_LEVEL",
        .type = DINV_TYPE_CHOICE,
        .field = FIELD(log_level),
        .choices = CHOICES({"error", DINV_LOG_ERROR}, {"warning", DINV_LOG_WARNING},
                           {"info", DINV_LOG_INFO}, {"debug", DINV_LOG_DEBUG}),
        .fallback = "info",
        .rule = dinv_settings_rule_log_level,
        .help = "how much dinv says about its work",
        .more = "Unless it is set, dinv says only warnings and errors when it runs a command.",
    },
    {.name = NULL},
};

const DinvSetting *dinv_settings_table(void) {
    return table;
}
