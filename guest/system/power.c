/* SPDX-License-Identifier: MIT */
/* The key is one of an input device; the switch is reboot(2). */
#include "guest/system/power.h"

#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guest/base/log.h"

enum { DEVICES_MAX = 16 };

typedef struct {
    DinvLoop *loop;
    DinvSystemPowerButtonCallback callback;
    void *user;
} PowerButton;

static bool has_power_key(int fd) {
    uint8_t keys[KEY_MAX / 8 + 1] = {0};
    return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
           (keys[KEY_POWER / 8] & (1u << KEY_POWER % 8)) != 0;
}

static void button_ready(void *user, int fd, short revents) {
    PowerButton *button = user;
    struct input_event events[16];
    ssize_t len = read(fd, events, sizeof events);
    for (size_t index = 0; len > 0 && index < (size_t)len / sizeof events[0]; index++) {
        if (events[index].type == EV_KEY && events[index].code == KEY_POWER &&
            events[index].value == 1) {
            button->callback(button->user);
        }
    }
    if (len == 0 || (revents & (POLLERR | POLLHUP)) != 0) {
        dinv_loop_unwatch(button->loop, fd);
    }
}

void dinv_system_power_button_watch(DinvLoop *loop, DinvSystemPowerButtonCallback callback,
                                    void *user) {
    PowerButton *button = malloc(sizeof *button);
    size_t count = 0;
    if (button == NULL) {
        return;
    }
    *button = (PowerButton){.loop = loop, .callback = callback, .user = user};
    for (int number = 0; number < DEVICES_MAX; number++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/dev/input/event%d", number);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        if (has_power_key(fd) && dinv_loop_watch(loop, fd, POLLIN, button_ready, button) == 0) {
            count++;
        } else {
            close(fd);
        }
    }
    if (count == 0) {
        free(button);
    }
}

void dinv_system_power_off(void) {
    (void)reboot(RB_POWER_OFF);
    dinv_log_warning("this machine cannot be switched off, resetting it");
    (void)reboot(RB_AUTOBOOT);
    for (;;) {
        (void)pause(); /* process 1 must not end */
    }
}
