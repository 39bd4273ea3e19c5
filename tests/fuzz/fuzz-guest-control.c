/* SPDX-License-Identifier: MIT */
/* One line of the control channel, as `configure`, and as the argument of an exec. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/base/message.h"
#include "guest/configuration/configuration.h"
#include "guest/services/exec-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    DinvMessage message;
    const char *reason = NULL;
    int result = dinv_message_parse((const char *)data, size, &message, &reason);
    if (result < 0 && reason == NULL) {
        abort();
    }
    if (message.body != NULL) {
        DinvConfiguration *configuration = NULL;
        char text[128] = "";
        if (dinv_configuration_parse(message.body, &configuration, text, sizeof text) == 0) {
            /* What follows relies on these. */
            if (configuration->network.dns == NULL || configuration->dockerd_args == NULL ||
                configuration->environment == NULL) {
                abort();
            }
        } else if (configuration != NULL || text[0] == '\0') {
            abort();
        }
        dinv_configuration_free(configuration);
    }
    dinv_message_clear(&message);
    DinvServiceExecRequest *request = NULL;
    if (dinv_service_exec_request_parse((const char *)data, size, &request) == 0 &&
        (request->argv == NULL || request->argv[0] == NULL || request->environment == NULL)) {
        abort();
    }
    dinv_service_exec_request_free(request);
    return 0;
}
