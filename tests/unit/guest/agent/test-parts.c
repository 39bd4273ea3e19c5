/* SPDX-License-Identifier: MIT */
/* The loop, dockerd's log, the ping, mountinfo, and the files of /etc. */
#include "tests/unit/lib/guest-harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest/base/files.h"
#include "guest/base/mountinfo.h"
#include "guest/engine/log.h"
#include "guest/engine/ping.h"
#include "guest/network/network.h"

/* --- loop ------------------------------------------------------------------------------------- */

typedef struct {
    Harness harness;
    int ends[2];
    int other[2];
    int calls;
    DinvTimer *timers[2];
    GString *order;
    int wait_status;
    bool done;
} Loop;

static void loop_set_up(Loop *loop, gconstpointer data) {
    (void)data;
    harness_init(&loop->harness);
    harness_socketpair(loop->ends);
    loop->order = g_string_new(NULL);
}

static void loop_tear_down(Loop *loop, gconstpointer data) {
    (void)data;
    close(loop->ends[0]);
    close(loop->ends[1]);
    g_string_free(loop->order, TRUE);
    harness_clear(&loop->harness);
}

static void loop_unexpected(void *user, int fd, short revents) {
    (void)user;
    (void)fd;
    (void)revents;
    g_assert_not_reached();
}

/* Closes the other, which is ready as well, and opens another under its number. */
static void loop_replace(void *user, int fd, short revents) {
    (void)revents;
    Loop *loop = user;
    loop->calls++;
    int victim = fd == loop->ends[0] ? loop->other[0] : loop->ends[0];
    dinv_loop_unwatch(loop->harness.loop, victim);
    int fresh[2];
    harness_socketpair(fresh);
    g_assert_cmpint(dup3(fresh[0], victim, O_CLOEXEC), ==, victim);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, victim, POLLIN, loop_unexpected, loop), ==,
                    0);
    close(fresh[0]);
    loop->done = true;
    dinv_loop_unwatch(loop->harness.loop, fd);
    /* `fresh[1]` stays open, so that nothing is ready at the new one. */
    loop->wait_status = fresh[1];
}

static void test_loop_stale_event(Loop *loop, gconstpointer data) {
    (void)data;
    harness_socketpair(loop->other);
    g_assert_cmpint(write(loop->ends[1], "x", 1), ==, 1);
    g_assert_cmpint(write(loop->other[1], "x", 1), ==, 1);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->ends[0], POLLIN, loop_replace, loop),
                    ==, 0);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->other[0], POLLIN, loop_replace, loop),
                    ==, 0);
    g_assert_cmpint(dinv_loop_iterate(loop->harness.loop, 1000), ==, 0);
    g_assert_cmpint(loop->calls, ==, 1);
    close(loop->wait_status);
    close(loop->other[0]);
    close(loop->other[1]);
}

static void loop_ready(void *user, int fd, short revents) {
    (void)fd;
    (void)revents;
    Loop *loop = user;
    g_string_append_c(loop->order, 'f');
}

static void loop_timer(void *user) {
    Loop *loop = user;
    g_string_append_c(loop->order, 't');
    dinv_timer_set(loop->timers[1], 0);
}

static void loop_other_timer(void *user) {
    Loop *loop = user;
    g_string_append_c(loop->order, 'o');
    dinv_timer_set(loop->timers[0], 0);
}

/* Two timers that set each other to 0 keep no descriptor waiting. */
static void test_loop_timers_are_fair(Loop *loop, gconstpointer data) {
    (void)data;
    g_assert_cmpint(write(loop->ends[1], "x", 1), ==, 1);
    g_assert_cmpint(dinv_loop_watch(loop->harness.loop, loop->ends[0], POLLIN, loop_ready, loop),
                    ==, 0);
    loop->timers[0] = dinv_timer_new(loop->harness.loop, loop_timer, loop);
    loop->timers[1] = dinv_timer_new(loop->harness.loop, loop_other_timer, loop);
    dinv_timer_set(loop->timers[0], 0);
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(dinv_loop_iterate(loop->harness.loop, 1000), ==, 0);
    }
    g_assert_cmpstr(loop->order->str, ==, "ftfoftfo");
    dinv_timer_free(loop->timers[0]);
    dinv_timer_free(loop->timers[1]);
    dinv_loop_unwatch(loop->harness.loop, loop->ends[0]);
}

static void loop_child(void *user, pid_t pid, int wait_status) {
    (void)pid;
    Loop *loop = user;
    loop->wait_status = wait_status;
    loop->done = true;
}

static bool loop_is_done(void *user) {
    return ((Loop *)user)->done;
}

static void test_loop_children(Loop *loop, gconstpointer data) {
    (void)data;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(42);
    }
    g_assert_cmpint(dinv_loop_watch_child(loop->harness.loop, pid, loop_child, loop), ==, 0);
    harness_run_until(&loop->harness, loop_is_done, loop);
    g_assert_cmpint(WEXITSTATUS(loop->wait_status), ==, 42);
    g_assert_false(dinv_loop_reap(loop->harness.loop));
}

/* --- port ------------------------------------------------------------------------------------- */

static void test_port_find(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-port-XXXXXX", NULL);
    static const char *const names[] = {"vport1p1", "vport1p2"};
    static const char *const ports[] = {"dinv.control\n", "dinv.relay\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);
        g_assert_cmpint(g_mkdir_with_parents(path, 0700), ==, 0);
        g_autofree char *name = g_build_filename(path, "name", NULL);
        g_assert_true(g_file_set_contents(name, ports[i], -1, NULL));
    }
    g_assert_cmpint(dinv_channel_port_find(directory, directory, "dinv"), ==, -ENOENT);
    g_assert_cmpint(dinv_channel_port_find("/does/not/exist", directory, "dinv.relay"), ==,
                    -ENOENT);
    /* In the place of the device stands its directory of the class: found, but not writable. */
    g_assert_cmpint(dinv_channel_port_find(directory, directory, "dinv.relay"), ==, -EISDIR);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", directory);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

/* --- dockerd's log ---------------------------------------------------------------------------- */

typedef struct {
    char *directory;
    char *path;
    DinvEngineLog *log;
} Log;

static void log_set_up(Log *fixture, gconstpointer data) {
    (void)data;
    fixture->directory = g_dir_make_tmp("dinv-log-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->directory, "log", NULL);
    fixture->log = dinv_engine_log_new(fixture->path, 100);
    g_assert_nonnull(fixture->log);
}

static void log_tear_down(Log *fixture, gconstpointer data) {
    (void)data;
    dinv_engine_log_free(fixture->log);
    g_autofree char *older = g_strconcat(fixture->path, ".1", NULL);
    (void)unlink(older);
    (void)unlink(fixture->path);
    g_assert_cmpint(rmdir(fixture->directory), ==, 0);
    g_free(fixture->path);
    g_free(fixture->directory);
}

static void append(Log *fixture, const char *text) {
    dinv_engine_log_append(fixture->log, text, strlen(text));
}

static void check_tail(Log *fixture, uint64_t lines, size_t max, const char *expected) {
    char *text = dinv_engine_log_get_tail(fixture->log, lines, max);
    g_assert_cmpstr(text, ==, expected);
    free(text);
}

static void test_log_tail(Log *fixture, gconstpointer data) {
    (void)data;
    check_tail(fixture, 5, 100, "");
    append(fixture, "a\nb");
    check_tail(fixture, 1, 100, "b");
    append(fixture, "b\n\nc\n");
    check_tail(fixture, 0, 100, "");
    check_tail(fixture, 1, 100, "c\n");
    check_tail(fixture, 2, 100, "\nc\n");
    check_tail(fixture, 3, 100, "bb\n\nc\n");
    check_tail(fixture, 4, 100, "a\nbb\n\nc\n");
    check_tail(fixture, 1000, 100, "a\nbb\n\nc\n");
    check_tail(fixture, 1000, 3, "\nc\n");
}

/* What is not UTF-8 is replaced, the rest stays; a cut, here or by the rotation, splits nothing. */
static void test_log_tail_is_utf8(Log *fixture, gconstpointer data) {
    (void)data;
    append(fixture, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\xff\n");
    check_tail(fixture, 1, 100, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\xef\xbf\xbd\n");
    check_tail(fixture, 1, 6, "\xf0\x9f\x90\xb3\xef\xbf\xbd\n");
    for (size_t max = 3; max < 6; max++) {
        check_tail(fixture, 1, max, "\xef\xbf\xbd\n");
    }
    for (int i = 0; i < 100; i++) {
        append(fixture, "\xe2\x82\xac");
        char *tail = dinv_engine_log_get_tail(fixture->log, 1, 5000);
        g_assert_true(g_utf8_validate(tail, -1, NULL));
        g_assert_null(
            strstr(strchr(tail, '\n') != NULL ? strchr(tail, '\n') : tail, "\xef\xbf\xbd"));
        free(tail);
    }
}

/* Against all that was ever written: the last 100 to 200 bytes of it are kept. */
static void test_log_rotation(Log *fixture, gconstpointer data) {
    (void)data;
    GString *all = g_string_new(NULL);
    for (int i = 0; i < 500; i++) {
        g_autofree char *line = g_strdup_printf("line %d of the log%s", i, i % 3 == 0 ? "" : "\n");
        append(fixture, line);
        g_string_append(all, line);
        g_assert_cmpuint(dinv_engine_log_end(fixture->log), ==, all->len);
        uint64_t position = 0;
        char kept[201];
        size_t len = 0;
        ssize_t got;
        while ((got = dinv_engine_log_read(fixture->log, &position, kept + len, 200 - len)) > 0) {
            len += (size_t)got;
        }
        g_assert_cmpint(got, ==, 0);
        kept[len] = '\0';
        g_assert_true(len == all->len || len >= 100);
        g_assert_cmpstr(kept, ==, all->str + all->len - len);
        g_assert_cmpuint(position, ==, all->len);
    }
    g_autofree char *big = g_strnfill(1000, 'x');
    append(fixture, big);
    g_string_append(all, big);
    char *tail = dinv_engine_log_get_tail(fixture->log, 1, 5000);
    g_assert_cmpuint(strlen(tail), >=, 100);
    g_assert_cmpuint(strlen(tail), <=, 200);
    g_assert_true(g_str_has_suffix(all->str, tail));
    free(tail);
    g_string_free(all, TRUE);
}

static void test_log_cannot_write(Log *fixture, gconstpointer data) {
    (void)data;
    /* The file that rotation needs to make is in the way of itself: a directory. */
    g_autofree char *older = g_strconcat(fixture->path, ".1", NULL);
    g_assert_cmpint(mkdir(older, 0700), ==, 0);
    g_autofree char *text = g_strnfill(150, 'x');
    append(fixture, text);
    append(fixture, text);
    g_assert_cmpuint(dinv_engine_log_end(fixture->log), ==, 100);
    g_assert_cmpint(rmdir(older), ==, 0);
    append(fixture, "y");
    check_tail(fixture, 1, 1, "y");
}

/* --- ping ------------------------------------------------------------------------------------- */

static int ping_in_pieces(const char *reply, size_t piece, char version[static 64]) {
    DinvEnginePingReply *parser = g_new0(DinvEnginePingReply, 1);
    int result = 0;
    for (size_t at = 0; at < strlen(reply) && result == 0; at += piece) {
        result = dinv_engine_ping_reply_add(parser, reply + at, MIN(piece, strlen(reply) - at),
                                            false, version);
    }
    if (result == 0) {
        result = dinv_engine_ping_reply_add(parser, "", 0, true, version);
    }
    g_free(parser);
    return result;
}

static void test_ping_reply(void) {
    static const struct {
        const char *reply;
        int result;
        const char *version;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5+dfsg1 (linux)\r\n\r\nOK", 1,
         "26.1.5+dfsg1"},
        {"HTTP/1.1 200 OK\r\nserver:Docker/28.2.2\r\n\r\nOK", 1, "28.2.2"},
        {"HTTP/1.1 200 OK\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nServer: podman\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nServer: Docker/\"x\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 200 OK\r\nX-Server: Docker/1\r\n\r\nOK", 1, ""},
        {"HTTP/1.1 503 No\r\n\r\nnot yet", -EAGAIN, NULL},
        {"HTTP/1.1 200 OK\r\n\r\nNO", -EPROTO, NULL},
        {"HTTP/1.1 200 OK\r\n\r\nO", -EPROTO, NULL},
        {"HTTP/1.1 200 OK\r\n", -EPROTO, NULL},
        {"", -EPROTO, NULL},
        {"SSH-2.0-OpenSSH\r\n", -EPROTO, NULL},
        {"HTTP/1.1200 OK\r\n\r\nOK", -EPROTO, NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (size_t piece = 1; piece < 100; piece++) {
            char version[DINV_PING_VERSION_MAX] = "unset";
            int result = ping_in_pieces(cases[i].reply, piece, version);
            g_assert_cmpint(result, ==, cases[i].result);
            if (result == 1) {
                g_assert_cmpstr(version, ==, cases[i].version);
            }
        }
    }
    g_autofree char *endless = g_strnfill((gsize)2 * DINV_PING_REPLY_MAX, 'x');
    static const char beginning[] = "HTTP/1.1 200 OK\r\n";
    memcpy(endless, beginning, sizeof beginning - 1);
    char version[DINV_PING_VERSION_MAX];
    g_assert_cmpint(ping_in_pieces(endless, 1000, version), ==, -EPROTO);
    g_autofree char *long_version =
        g_strdup_printf("HTTP/1.1 200 OK\r\nServer: Docker/%.500s\r\n\r\nOK", endless + 100);
    g_assert_cmpint(ping_in_pieces(long_version, 1000, version), ==, 1);
    g_assert_cmpuint(strlen(version), ==, DINV_PING_VERSION_MAX - 1);
}

/* --- mountinfo -------------------------------------------------------------------------------- */

/* As a guest with two containers has it; ids as the kernel gave them, which is not the order. */
static const char sample[] =
    "21 1 0:20 / / rw,relatime shared:1 - overlay dinv-root rw,lowerdir=/,upperdir=/run/upper\n"
    "22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,mode=755\n"
    "23 21 0:21 / /proc rw,nosuid shared:3 - proc proc rw\n"
    "26 22 0:24 / /dev/pts rw,nosuid,noexec shared:6 - devpts devpts rw,gid=5\n"
    "24 21 0:22 / /sys rw shared:4 - sysfs sysfs rw\n"
    "30 24 0:28 / /sys/fs/cgroup rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
    "28 21 0:26 / /run rw,nosuid shared:8 - tmpfs tmpfs rw,mode=755\n"
    "35 21 254:16 / /var/lib/docker rw,relatime shared:15 - ext4 /dev/vdb rw,discard\n"
    "36 21 0:33 / /src/inner\\040dir rw,sync shared:16 - 9p dinv0 rw,access=any\n"
    "37 21 0:34 / /data ro,relatime shared:17 - virtiofs dinv1 ro\n"
    "90 35 0:40 / /var/lib/docker/overlay2/b/merged rw - overlay overlay rw,lowerdir=x\n"
    "70 28 0:4 net:[4026532300] /run/docker/netns/abc rw shared:40 - nsfs nsfs rw\n"
    "80 35 0:41 / /var/lib/docker/overlay2/a/merged rw master:3 propagate_from:2 - overlay "
    "overlay rw\n"
    "95 90 254:16 /volumes/v /var/lib/docker/overlay2/b/merged/v rw - ext4 /dev/vdb rw\n"
    "not a line at all\n"
    "1 2 3\n"
    "99 21 0:50 / /lost rw shared:1 tmpfs tmpfs rw\n";

static void test_mountinfo_parse(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(sample, strlen(sample), &table), ==, 0);
    g_assert_cmpuint(table.count, ==, 14);
    const DinvMount *share = dinv_mountinfo_find(&table, "/src/inner dir");
    g_assert_nonnull(share);
    g_assert_cmpint(share->id, ==, 36);
    g_assert_cmpint(share->parent, ==, 21);
    g_assert_cmpstr(share->type, ==, "9p");
    g_assert_cmpstr(share->source, ==, "dinv0");
    g_assert_cmpstr(share->root, ==, "/");
    g_assert_false(share->readonly);
    g_assert_true(dinv_mountinfo_find(&table, "/data")->readonly);
    g_assert_true(dinv_mount_holds_data(share));
    g_assert_false(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/data")));
    g_assert_true(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/var/lib/docker")));
    g_assert_false(dinv_mount_holds_data(dinv_mountinfo_find(&table, "/run")));
    g_assert_null(dinv_mountinfo_find(&table, "/src"));
    dinv_mountinfo_clear(&table);
}

static void test_mountinfo_unmount_order(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(sample, strlen(sample), &table), ==, 0);
    dinv_mountinfo_sort_for_unmount(&table);
    GString *order = g_string_new(NULL);
    for (size_t i = 0; i < table.count; i++) {
        if (dinv_mount_is_to_unmount(&table.mounts[i])) {
            g_string_append_printf(order, "%s\n", table.mounts[i].target);
        }
    }
    g_assert_cmpstr(order->str, ==,
                    "/var/lib/docker/overlay2/b/merged/v\n"
                    "/var/lib/docker/overlay2/a/merged\n"
                    "/run/docker/netns/abc\n"
                    "/var/lib/docker/overlay2/b/merged\n"
                    "/data\n"
                    "/src/inner dir\n"
                    "/var/lib/docker\n");
    g_string_free(order, TRUE);
    dinv_mountinfo_clear(&table);
}

/* Parents in a circle end, too. */
static void test_mountinfo_circle(void) {
    static const char text[] = "1 2 0:1 / /a rw - tmpfs tmpfs rw\n2 1 0:1 / /b rw - tmpfs tmpfs rw";
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_parse(text, strlen(text), &table), ==, 0);
    g_assert_cmpuint(table.count, ==, 2);
    dinv_mountinfo_sort_for_unmount(&table);
    g_assert_cmpuint(table.count, ==, 2);
    dinv_mountinfo_clear(&table);
}

static void test_mountinfo_own(void) {
    DinvMountTable table;
    g_assert_cmpint(dinv_mountinfo_load(&table), ==, 0);
    g_assert_nonnull(dinv_mountinfo_find(&table, "/"));
    g_assert_nonnull(dinv_mountinfo_find(&table, "/proc"));
    dinv_mountinfo_clear(&table);
}

/* --- files ------------------------------------------------------------------------------------ */

static void check_file(const char *directory, const char *name, const char *expected) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpint(unlink(path), ==, 0);
}

static void test_network_files(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-etc-XXXXXX", NULL);
    char one[] = "10.0.2.3";
    char two[] = "fec0::3";
    char domain[] = "example.org";
    char name[] = "host.docker.internal";
    char gateway[] = "10.0.2.2";
    char *dns[] = {one, two, NULL};
    char *search[] = {domain, domain, NULL};
    char *options[] = {NULL};
    DinvHostEntry hosts[] = {{name, gateway}};
    DinvNetworkConfiguration network = {.present = true,
                                        .dns = dns,
                                        .search = search,
                                        .options = options,
                                        .hosts = hosts,
                                        .host_count = 1};
    /* A resolv.conf that is a symbolic link is replaced, not followed. */
    g_autofree char *link = g_build_filename(directory, "resolv.conf", NULL);
    g_assert_cmpint(symlink("/does/not/exist", link), ==, 0);
    g_assert_cmpint(dinv_network_write_files(directory, &network, "box"), ==, 0);
    check_file(directory, "resolv.conf",
               "search example.org example.org\nnameserver 10.0.2.3\nnameserver fec0::3\n");
    check_file(directory, "hosts",
               "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tbox\n"
               "10.0.2.2\thost.docker.internal\n");
    check_file(directory, "hostname", "box\n");
    g_assert_cmpint(rmdir(directory), ==, 0);
    g_assert_cmpint(dinv_network_write_files(directory, &network, "box"), ==, -ENOENT);
}

static void test_files(void) {
    g_autofree char *directory = g_dir_make_tmp("dinv-files-XXXXXX", NULL);
    g_autofree char *deep = g_build_filename(directory, "a", "b c", "d", NULL);
    g_assert_cmpint(dinv_make_directories(deep), ==, 0);
    g_assert_cmpint(dinv_make_directories(deep), ==, 0);
    g_assert_true(g_file_test(deep, G_FILE_TEST_IS_DIR));
    g_autofree char *file = g_build_filename(deep, "file", NULL);
    g_assert_cmpint(dinv_file_write(file, "x"), ==, -ENOENT);
    g_autofree char *big = g_strnfill(100000, 'y');
    g_assert_cmpint(dinv_file_replace(file, big), ==, 0);
    char small[8];
    g_assert_cmpint(dinv_file_read(file, small, sizeof small), ==, 7);
    g_assert_cmpstr(small, ==, "yyyyyyy");
    char *text = NULL;
    g_assert_cmpint(dinv_file_read_all(file, &text, 200000), ==, 100000);
    g_assert_cmpstr(text, ==, big);
    free(text);
    g_assert_cmpint(dinv_file_read_all(file, &text, 10000), ==, -EFBIG);
    g_assert_cmpint(dinv_make_directories(file), ==, -ENOTDIR);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", directory);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/guest/loop/stale-event", Loop, NULL, loop_set_up, test_loop_stale_event,
               loop_tear_down);
    g_test_add("/guest/loop/timers-are-fair", Loop, NULL, loop_set_up, test_loop_timers_are_fair,
               loop_tear_down);
    g_test_add("/guest/loop/children", Loop, NULL, loop_set_up, test_loop_children, loop_tear_down);
    g_test_add_func("/guest/port/find", test_port_find);
    g_test_add("/guest/engine-log/tail", Log, NULL, log_set_up, test_log_tail, log_tear_down);
    g_test_add("/guest/engine-log/tail-is-utf8", Log, NULL, log_set_up, test_log_tail_is_utf8,
               log_tear_down);
    g_test_add("/guest/engine-log/rotation", Log, NULL, log_set_up, test_log_rotation,
               log_tear_down);
    g_test_add("/guest/engine-log/cannot-write", Log, NULL, log_set_up, test_log_cannot_write,
               log_tear_down);
    g_test_add_func("/guest/ping/reply", test_ping_reply);
    g_test_add_func("/guest/mountinfo/parse", test_mountinfo_parse);
    g_test_add_func("/guest/mountinfo/unmount-order", test_mountinfo_unmount_order);
    g_test_add_func("/guest/mountinfo/circle", test_mountinfo_circle);
    g_test_add_func("/guest/mountinfo/own", test_mountinfo_own);
    g_test_add_func("/guest/network/files", test_network_files);
    g_test_add_func("/guest/files/all", test_files);
    return g_test_run();
}
