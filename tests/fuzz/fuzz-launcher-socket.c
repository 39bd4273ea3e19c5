/* SPDX-License-Identifier: MIT */
/* What a client may send to launcher.sock: any bytes, in pieces; then it hangs up. */
#include <stdint.h>
#include <sys/un.h>

#include "launcher/vm/launcher-socket.h"
#include "tests/unit/lib/machine-fake.h"

static VmFixture fixture;
static DinvVmLauncherSocket *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void clean_up(void) {
    g_clear_pointer(&fixture.vm, dinv_vm_free);
    dinv_vm_launcher_socket_free(server);
    vm_tear_down(&fixture, NULL);
}

static void start(void) {
    vm_set_up(&fixture, NULL);
    /* The fuzzer's own messages go where they went. */
    (void)dup2(fixture.log.stderr_before, STDERR_FILENO);
    dinv_log_start(DINV_LOG_ERROR);
    vm_start(&fixture);
    server = dinv_vm_launcher_socket_new(fixture.config.state_dir, fixture.vm, NULL);
    g_autofree char *path = scratch_path(&fixture.scratch, "launcher.sock");
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    (void)atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (server == NULL) {
        start();
    }
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address) < 0) {
        abort();
    }
    for (size_t at = 0; at < size;) {
        size_t piece = MIN(size - at, (size_t)data[at] + 1);
        if (send(client, data + at, piece, MSG_NOSIGNAL) < 0) {
            break; /* it was refused already */
        }
        at += piece;
        run_loop();
    }
    close(client);
    run_loop();
    return 0;
}
