/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over every file of its corpus directory: the target's regression test. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int dir_fd, const char *name) {
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        return -1;
    }
    size_t size = (size_t)status.st_size;
    /* Exactly sized, so that a sanitizer sees a read past the end. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    ssize_t got = data != NULL ? read(fd, data, size) : -1;
    close(fd);
    if (got == (ssize_t)size) {
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return got == (ssize_t)size ? 0 : -1;
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return EXIT_FAILURE;
    }
    unsigned count = 0;
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_type != DT_REG) {
            continue;
        }
        int result = replay_file(dirfd(dir), entry->d_name);
        count++;
        printf("%s %u - %s\n", result == 0 ? "ok" : "not ok", count, entry->d_name);
        failed |= result;
    }
    closedir(dir);
    printf("1..%u\n", count);
    return failed == 0 && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
