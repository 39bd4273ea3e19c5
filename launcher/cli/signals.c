/* SPDX-License-Identifier: MIT */
/* What run and shell have in common about signals. */
#include "launcher/cli/signals.h"

#include <sys/signalfd.h>

void dinv_cli_signals_pick(const int *numbers, gsize count, sigset_t *set) {
    (void)sigemptyset(set);
    for (gsize i = 0; i < count; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            (void)sigaddset(set, numbers[i]);
        }
    }
}

int dinv_cli_signals_open(const sigset_t *set) {
    (void)sigprocmask(SIG_BLOCK, set, NULL);
    return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}
