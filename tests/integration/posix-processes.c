/* SPDX-License-Identifier: MIT */
/* Checks of locks, mappings, special files, programs and large directories, see posix.c. */
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/integration/posix.h"

/* ---- locks and mappings ---- */

/* Whether another process is refused the lock that `take` has given this one. */
static int is_exclusive(const char *name, int (*take)(int fd)) {
    int fd = open(name, O_RDWR);
    TRY(fd);
    TRY(take(fd));
    pid_t child = fork();
    if (child == 0) {
        int other = open(name, O_RDWR);
        _exit(other >= 0 && take(other) < 0 && (errno == EAGAIN || errno == EACCES) ? 0 : 1);
    }
    int status = 0;
    TRY(waitpid(child, &status, 0));
    EXPECT(status == 0);
    return 0;
}

static int take_flock(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB);
}

static int take_fcntl(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    return fcntl(fd, F_SETLK, &lock);
}

static int check_flock(void) {
    TRY(make("f", ""));
    return is_exclusive("f", take_flock);
}

static int check_fcntl_lock(void) {
    TRY(make("f", ""));
    return is_exclusive("f", take_fcntl);
}

/* What was appended can be read at once, by whatever else others ask of the file meanwhile. */
static int check_append_while_stat(void) {
    enum { RECORDS = 300 };
    int fd = open("file", O_RDWR | O_CREAT | O_APPEND, 0644);
    TRY(fd);
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            (void)look("file");
        }
    }
    int result = child < 0 ? errno : 0;
    for (int i = 0; result == 0 && i < RECORDS; i++) {
        char record[101];
        char found[sizeof record] = "";
        (void)snprintf(record, sizeof record, "%0100d", i);
        if (write(fd, record, 100) != 100) {
            result = errno;
        } else if (pread(fd, found, 100, (off_t)i * 100) != 100 || strcmp(found, record) != 0) {
            result = WRONG;
        }
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)close(fd);
    return result;
}

static int check_mmap_private(void) {
    int fd = make("f", "text");
    TRY(fd);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
        return errno;
    }
    memory[0] = 'T';
    EXPECT(memcmp(memory, "Text", 4) == 0 && holds("f", "text"));
    return 0;
}

static int check_mmap_shared(void) {
    int fd = make("f", "text");
    TRY(fd);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return errno;
    }
    memory[0] = 'T';
    TRY(msync(memory, 4096, MS_SYNC));
    EXPECT(holds("f", "Text"));
    TRY(pwrite(fd, "X", 1, 1));
    EXPECT(memory[1] == 'X');
    return 0;
}

/* ---- special files, programs, directories ---- */

static int check_fifo(void) {
    char byte = 0;
    TRY(mkfifo("p", 0600));
    int fd = open("p", O_RDWR | O_NONBLOCK);
    TRY(fd);
    TRY(write(fd, "x", 1));
    TRY(read(fd, &byte, 1));
    EXPECT(byte == 'x');
    return 0;
}

static int check_unix_socket(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(fd, (struct sockaddr *)&address, sizeof address));
    TRY(listen(fd, 1));
    TRY(connect(client, (struct sockaddr *)&address, sizeof address));
    return 0;
}

static int check_device(void) {
    TRY(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
    EXPECT(S_ISCHR(look("null").st_mode) && look("null").st_rdev == makedev(1, 3));
    return 0;
}

static int copy_program(mode_t mode) {
    char buffer[65536];
    int from = open("/proc/self/exe", O_RDONLY);
    int to = open("program", O_WRONLY | O_CREAT, 0700);
    ssize_t n;
    TRY(from);
    TRY(to);
    while ((n = read(from, buffer, sizeof buffer)) > 0) {
        TRY(write(to, buffer, (size_t)n));
    }
    TRY(fchmod(to, mode));
    TRY(close(to));
    return 0;
}

static int check_exec(void) {
    int result = copy_program(0755);
    if (result != 0) {
        return result;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)execl("./program", "program", (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    TRY(waitpid(child, &status, 0));
    return WEXITSTATUS(status) == 99 ? 0 : WEXITSTATUS(status);
}

static int check_exec_bit(void) {
    int result = copy_program(0644);
    if (result != 0) {
        return result;
    }
    EXPECT_ERROR(execl("./program", "program", (char *)NULL), EACCES);
    return 0;
}

static int check_many_entries(void) {
    char name[32];
    int count = 0;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "entry-%d", i);
        TRY(mkdir(name, 0755));
    }
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "entry-%d", i);
        count += rmdir(name) == 0;
    }
    EXPECT(count == 300);
    return 0;
}

const Check process_checks[] = {
    {"flock", check_flock},
    {"fcntl-lock", check_fcntl_lock},
    {"append-while-stat", check_append_while_stat},
    {"mmap-private", check_mmap_private},
    {"mmap-shared", check_mmap_shared},
    {"fifo", check_fifo},
    {"unix-socket", check_unix_socket},
    {"device", check_device},
    {"exec", check_exec},
    {"exec-bit", check_exec_bit},
    {"many-entries", check_many_entries},
    {NULL, NULL},
};
