/* SPDX-License-Identifier: MIT */
/*
 * Files with certificates in PEM form. What must hold: no crash, each certificate once, and what
 * came out gives the same when it is read again.
 */
#include <stdint.h>
#include <string.h>

#include "launcher/engine/certificates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(DinvEngineCertificates) first = dinv_engine_certificates_new();
    g_autoptr(DinvEngineCertificates) second = dinv_engine_certificates_new();
    g_autoptr(GError) error = NULL;
    guint found = 0;

    if (!dinv_engine_certificates_add(first, (const char *)data, size, &found, &error)) {
        g_assert(error != NULL);
        return 0;
    }
    g_assert(found >= dinv_engine_certificates_count(first));
    g_assert(dinv_engine_certificates_add(second, first->pem->str, first->pem->len, &found, NULL));
    g_assert(found == dinv_engine_certificates_count(first));
    g_assert(g_string_equal(first->pem, second->pem));
    return 0;
}
