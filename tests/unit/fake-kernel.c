/* SPDX-License-Identifier: MIT */
/*
 * Plays User-Mode Linux for unit tests. It is started in the cage of a kernel, where no script
 * could run, and is static for the same reason. DINV_FAKE_KERNEL says what it does, in words with
 * ";":
 *
 *   say=TEXT   TEXT and a newline on stderr
 *   given      fails with 3 unless the root image and the console can be used by their numbers
 *   opens      fails with 4 unless the root image can be opened by its name
 *   mode=MODE  fails with 5 unless it is told seccomp=MODE
 *   signal=N   kills itself
 *   exit=N     ends; 0 is the default
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The argument that begins with `name`, without it; "" if there is none. */
static const char *find_argument(char **argv, const char *name) {
    for (char **word = argv; *word != NULL; word++) {
        if (strncmp(*word, name, strlen(name)) == 0) {
            return *word + strlen(name);
        }
    }
    return "";
}

static bool is_given(char **argv) {
    const char *root = strrchr(find_argument(argv, "ubd0rcd="), '/');
    struct stat status;
    char line[5] = "";
    return root != NULL && pread(atoi(root + 1), line, 4, 0) == 4 && strcmp(line, "root") == 0 &&
           fstat(atoi(find_argument(argv, "con0=fd:")), &status) == 0 && S_ISSOCK(status.st_mode);
}

static void carry_out(const char *word, char **argv) {
    const char *value = strchr(word, '=');
    if (strncmp(word, "say=", 4) == 0) {
        fprintf(stderr, "%s\n", value + 1);
    } else if (strncmp(word, "exit=", 5) == 0) {
        exit(atoi(value + 1));
    } else if (strncmp(word, "signal=", 7) == 0) {
        (void)kill(getpid(), atoi(value + 1));
    } else if (strcmp(word, "given") == 0 && !is_given(argv)) {
        exit(3);
    } else if (strcmp(word, "opens") == 0 && open(find_argument(argv, "ubd0rcd="), O_RDONLY) < 0) {
        exit(4);
    } else if (strncmp(word, "mode=", 5) == 0 &&
               strcmp(find_argument(argv, "seccomp="), value + 1) != 0) {
        exit(5);
    }
}

int main(int argc, char **argv) {
    const char *words = getenv("DINV_FAKE_KERNEL");
    (void)argc;
    if (words == NULL) {
        return 0;
    }
    char *rest = strdup(words);
    for (char *word; rest != NULL && (word = strsep(&rest, ";")) != NULL;) {
        carry_out(word, argv);
    }
    return 0;
}
