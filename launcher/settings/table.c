/* SPDX-License-Identifier: MIT */
/*
 * The table of all settings. A new one is a line here, a field in DinvConfig, and, if none of the
 * types fits, a parser; then `make docs` brings man page and README up to date (test
 * docs-generated).
 */
#include "launcher/settings/settings.h"

#include <string.h>

/* Where the image installs the guest's kernel and root file system. */
#ifndef DINV_LIBDIR
#define DINV_LIBDIR "/usr/lib/dinv"
#endif

#define MEBI      (G_GUINT64_CONSTANT(1) << 20)
#define GIBI      (G_GUINT64_CONSTANT(1) << 30)
#define FIELD(f)  G_STRUCT_OFFSET(DinvConfig, f)
#define SECOND    G_GUINT64_CONSTANT(1000)
#define NO_LIMITS 0, 0

static const DinvSetting table[] = {
    {"DINV_ACCEL", NULL, DINV_TYPE_CHOICE, FIELD(accel), "auto|kvm|tcg", "auto", NULL, NO_LIMITS,
     "how the guest's CPU runs: KVM, emulated (TCG), or KVM if it works",
     "auto tests /dev/kvm with a tiny virtual machine and goes on with emulation, which is many "
     "times "
     "slower, when the test fails. kvm stops with exit status 125 instead."},
    {"DINV_MACHINE", NULL, DINV_TYPE_CHOICE, FIELD(machine), "microvm|q35", "microvm", NULL,
     NO_LIMITS, "the machine that QEMU makes",
     "q35 is for a QEMU without microvm, or a DINV_KERNEL without virtio-mmio. It starts a little "
     "later, and its devices are on PCI."},
    {"DINV_CPUS", NULL, DINV_TYPE_NUMBER, FIELD(cpus), "N", NULL, "CPUs of the container", 1,
     DINV_CPUS_MAXIMUM, "number of the guest's CPUs",
     "The default is the number of CPUs that this process may run on, or the CPU quota of its "
     "cgroup "
     "(docker run --cpus) rounded up where that is less."},
    {"DINV_MEMORY", NULL, DINV_TYPE_SIZE, FIELD(memory_bytes), "SIZE", NULL,
     "memory limit of the container, less 1/8", DINV_MEMORY_MINIMUM, 4096 * GIBI,
     "the guest's memory, such as 512M or 1.5G",
     "Where the container has a memory limit (docker run --memory), the default is that limit less "
     "what "
     "QEMU itself needs: an eighth of it, at least 256M. Without a limit it is half of the "
     "machine's "
     "memory, at most 8G. The guest takes memory as it uses it and gives free memory back."},
    {"DINV_DISK_SIZE", "DINV_DOCKER_SIZE", DINV_TYPE_SIZE, FIELD(disk_bytes), "SIZE", "64G", NULL,
     1 * GIBI, 16384 * GIBI, "size of the disk for images, containers and volumes",
     "The disk is a sparse file, data.img in the state directory: it takes what is used. A larger "
     "size "
     "makes an existing disk grow at the next start; it never shrinks."},
    {"DINV_STATE_DIR", NULL, DINV_TYPE_PATH, FIELD(state_dir), "DIRECTORY", "/var/lib/dinv", NULL,
     NO_LIMITS, "where the data disk and the console log are kept",
     "Make it a volume to keep images and containers. Only one dinv can use it at a time."},
    {"DINV_VOLUME_PATH", NULL, DINV_TYPE_GUEST_PATH, FIELD(volume_path), "PATH", NULL, "none",
     NO_LIMITS, "where the guest has a private volume, a second disk",
     "docker run -v PATH:… in the guest uses it, at the speed of the data disk and with owners and "
     "modes of its own. It is volume.img in the state directory, and kept like data.img."},
    {"DINV_VOLUME_SIZE", NULL, DINV_TYPE_SIZE, FIELD(volume_bytes), "SIZE", "64G", NULL, 256 * MEBI,
     16384 * GIBI, "size of the private volume",
     "As DINV_DISK_SIZE: it takes what is used, may grow, and never shrinks."},
    {"DINV_VOLUME_UID", NULL, DINV_TYPE_ID, FIELD(volume_uid), "UID", NULL, "as it is, at first 0",
     NO_LIMITS, "owner of the private volume's top directory, a number", NULL},
    {"DINV_VOLUME_GID", NULL, DINV_TYPE_ID, FIELD(volume_gid), "GID", NULL, "as it is, at first 0",
     NO_LIMITS, "group of the private volume's top directory, a number", NULL},
    {"DINV_SOCKET", NULL, DINV_TYPE_PATH, FIELD(socket_path), "PATH", "/var/run/docker.sock", NULL,
     NO_LIMITS, "the unix socket where the Docker engine answers", NULL},
    {"DINV_SOCKET_UID", "DINV_DOCKER_SOCK_UID", DINV_TYPE_ID, FIELD(socket_uid), "UID", NULL,
     "user of dinv", NO_LIMITS, "owner of the socket, a number", NULL},
    {"DINV_SOCKET_GID", "DINV_DOCKER_SOCK_GID", DINV_TYPE_ID, FIELD(socket_gid), "GID", NULL,
     "group of dinv", NO_LIMITS, "group of the socket, a number", NULL},
    {"DINV_SOCKET_MODE", NULL, DINV_TYPE_MODE, FIELD(socket_mode), "MODE", "0660", NULL, NO_LIMITS,
     "permissions of the socket, octal",
     "Who may write to the socket is root in the guest, and can read and write DINV_MOUNTS."},
    {"DINV_TLS_CERTDIR", "DOCKER_TLS_CERTDIR", DINV_TYPE_TLS_DIRECTORY, FIELD(tls_directory),
     "DIRECTORY", NULL, "no TCP", NO_LIMITS,
     "where the certificates are kept or made with which the engine also answers on TCP port 2376",
     "As in docker:dind: ca/, server/ and client/ in it hold key.pem, cert.pem and ca.pem, what is "
     "missing is made, and a client must show a certificate of that CA (docker --tlsverify). "
     "Set but empty, the engine answers without TLS on port 2375 instead. Not set, it answers on "
     "the unix socket alone."},
    {"DINV_TLS_SAN", "DOCKER_TLS_SAN", DINV_TYPE_TLS_NAMES, FIELD(tls_names), "NAMES", NULL, "none",
     NO_LIMITS, "more names of the server's certificate, such as DNS:ci.example.org,IP:192.0.2.7",
     "It has those of the container, its addresses, docker and localhost anyway."},
    {"DINV_TLS_PORT", NULL, DINV_TYPE_TCP_ADDRESS, FIELD(tls), "[ADDRESS:]PORT", "2376", NULL,
     NO_LIMITS, "the TCP port for DINV_TLS_CERTDIR", NULL},
    {"DINV_PLAINTEXT_PORT", "PORT", DINV_TYPE_TCP_ADDRESS, FIELD(plaintext), "[ADDRESS:]PORT", NULL,
     "none, or 2375 if DINV_TLS_CERTDIR is set but empty", NO_LIMITS,
     "a TCP port where the engine answers without TLS, to everyone who reaches it",
     "Who reaches it is root in the guest, and can read and write DINV_MOUNTS."},
    {"DINV_TCP_PORTS", NULL, DINV_TYPE_TCP_PORTS, FIELD(ports), "PORTS", NULL, "none", NO_LIMITS,
     "TCP ports to forward from the start, such as 8080;5000-5010;8443:443",
     "An item is a port, a range, or outside:inside; items are separated by semicolons, commas or "
     "spaces."},
    {"DINV_UDP_PORTS", NULL, DINV_TYPE_UDP_PORTS, FIELD(ports), "PORTS", NULL, "none", NO_LIMITS,
     "UDP ports to forward from the start", "The form is that of DINV_TCP_PORTS."},
    {"DINV_PUBLISH", NULL, DINV_TYPE_CHOICE, FIELD(publish), "on|off", "on", NULL, NO_LIMITS,
     "whether ports that are published inside (docker run -p) are reachable outside",
     "With off only those of DINV_TCP_PORTS and DINV_UDP_PORTS are."},
    {"DINV_SUBNET", NULL, DINV_TYPE_SUBNET, FIELD(subnet), "NETWORK", NULL,
     "chosen to overlap nothing outside", NO_LIMITS, "the guest's own network, such as 10.0.2.0/24",
     "The guest has the address .15 in it, the outer container .2, and the resolver .3. One that "
     "overlaps a network of the outer container is refused."},
    {"DINV_BIP", NULL, DINV_TYPE_BRIDGE_ADDRESS, FIELD(bip), "ADDRESS/PREFIX", NULL,
     "chosen to overlap nothing outside", NO_LIMITS,
     "the address of docker0 with its network, such as 172.30.0.1/16",
     "As dockerd's --bip. One that overlaps a network of the outer container is refused: "
     "replies to clients there would not leave the guest."},
    {"DINV_MOUNTS", NULL, DINV_TYPE_MOUNTS, FIELD(mounts), "MOUNTS", NULL, "none", NO_LIMITS,
     "directories and files to show in the guest, such as /src;/data:/inner:ro, or auto",
     "An item is /source, /source:/target, or either with :ro behind it; items are separated by "
     "semicolons. The target is the path in the guest, which docker run -v then sees. auto, alone "
     "or "
     "as "
     "an item, stands for every bind mount and volume of the outer container, each at its own "
     "path; it "
     "is the container image's default. In a path \\\\, \\; and \\: are a backslash, a semicolon "
     "and a "
     "colon, and \\012 is the byte of that octal number. /proc, /sys and /dev are refused, and "
     "without "
     ":ro also the state directory and what any of these lies in. A file is shown as a read-only "
     "copy "
     "that follows it. docs/mounts.md has the details."},
    {"DINV_MOUNT_DRIVER", NULL, DINV_TYPE_CHOICE, FIELD(mount_driver), "9p|virtiofs|auto", "9p",
     NULL, NO_LIMITS, "how mounts come into the guest",
     "virtiofs is several times faster; it needs virtiofsd and root with Docker's default "
     "capabilities, and makes the guest's memory one that QEMU shares with virtiofsd. auto takes "
     "it "
     "where it can run, else 9p. Single files are over 9p in any case."},
    {"DINV_DOCKERD_ARGS", "DOCKER_DAEMON_ARGS", DINV_TYPE_WORDS, FIELD(dockerd_args), "ARGUMENTS",
     NULL, "none", NO_LIMITS, "more arguments for dockerd, quoted as in a shell", NULL},
    {"DINV_CONFIG_DIR", NULL, DINV_TYPE_PATH, FIELD(config_dir), "DIRECTORY", "/etc/docker", NULL,
     NO_LIMITS, "where daemon.json and certs.d for the engine are",
     "They are read once, at the start. Of daemon.json hosts, tls*, data-root, exec-root, pidfile, "
     "containerd and userland-proxy-path are not passed on; bip and default-address-pools are, and "
     "the other "
     "inner networks keep clear of them."},
    {"DINV_DOCKERD_LOG", NULL, DINV_TYPE_PATH, FIELD(dockerd_log), "FILE", NULL, "none", NO_LIMITS,
     "a file here to which dockerd's log is written, too", NULL},
    {"DINV_ON_READY", NULL, DINV_TYPE_TEXT, FIELD(on_ready), "COMMAND", NULL, "none", NO_LIMITS,
     "what /bin/sh runs here, outside the microVM, once when the engine answers",
     "With DOCKER_HOST set, and before CMD. Until it has ended, dinv health says that dinv is not "
     "healthy. If it fails, dinv stops and exits with its status."},
    {"DINV_SHUTDOWN_TIMEOUT", NULL, DINV_TYPE_DURATION, FIELD(shutdown_timeout_ms), "SECONDS", "8",
     NULL, 1 * SECOND, 3600 * SECOND, "time for containers and guest to stop in order",
     "Keep it below the time that stops the outer container by force (docker stop --timeout, 10 "
     "seconds by default)."},
    {"DINV_BOOT_TIMEOUT", NULL, DINV_TYPE_DURATION, FIELD(boot_timeout_ms), "SECONDS", "180", NULL,
     5 * SECOND, 7200 * SECOND, "time from the start until the engine must have answered", NULL},
    {"DINV_KERNEL", NULL, DINV_TYPE_PATH, FIELD(kernel), "FILE", DINV_LIBDIR "/vmlinux", NULL,
     NO_LIMITS, "the guest's kernel: an ELF vmlinux or a bzImage", NULL},
    {"DINV_INITRD", NULL, DINV_TYPE_PATH, FIELD(initrd), "FILE", NULL, "none", NO_LIMITS,
     "initramfs for a kernel that needs one", NULL},
    {"DINV_ROOTFS", NULL, DINV_TYPE_PATH, FIELD(rootfs), "FILE", DINV_LIBDIR "/rootfs.ext4", NULL,
     NO_LIMITS, "image of the guest's root file system", NULL},
    {"DINV_QEMU", NULL, DINV_TYPE_PROGRAM, FIELD(qemu), "PROGRAM", "qemu-system-x86_64", NULL,
     NO_LIMITS, "the QEMU to run, a name or a path", NULL},
    {"DINV_LOG_LEVEL", NULL, DINV_TYPE_CHOICE, FIELD(log_level), "error|warning|info|debug", "info",
     NULL, NO_LIMITS, "how much dinv says about its work",
     "Unless it is set, dinv says only warnings and errors when it runs a command."},
    {0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(table) <= DINV_SETTINGS_MAX);

const DinvSetting *dinv_settings_table(void) {
    return table;
}

char *dinv_setting_flag(const DinvSetting *setting) {
    g_autofree char *lower = g_ascii_strdown(setting->name + strlen("DINV_"), -1);

    return g_strconcat("--", g_strdelimit(lower, "_", '-'), NULL);
}
