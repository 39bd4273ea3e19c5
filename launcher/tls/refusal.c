/* SPDX-License-Identifier: MIT */
/* Why a client was not let in, from GnuTLS's codes, alerts and verification status. */
#include "launcher/tls/refusal.h"

#include <gnutls/x509.h>

static const char *reason_of_verification(gnutls_session_t session) {
    static const struct {
        guint flag;
        const char *reason;
    } reasons[] = {
        {GNUTLS_CERT_SIGNER_NOT_FOUND, "showed a certificate of another CA"},
        {GNUTLS_CERT_EXPIRED, "showed a certificate that has expired"},
        {GNUTLS_CERT_NOT_ACTIVATED, "showed a certificate that is not valid yet"},
        {GNUTLS_CERT_PURPOSE_MISMATCH, "showed a certificate that is not for clients"},
        {GNUTLS_CERT_INSECURE_ALGORITHM, "showed a certificate with an insecure algorithm"},
    };
    guint status = gnutls_session_get_verify_cert_status(session);
    for (guint i = 0; i < G_N_ELEMENTS(reasons); i++) {
        if ((status & reasons[i].flag) != 0) {
            return reasons[i].reason;
        }
    }
    return "showed a certificate that is not valid";
}

/* What a client says that gives up: most often that it knows another CA. */
static char *reason_of_alert(gnutls_alert_description_t alert) {
    const char *name = gnutls_alert_get_name(alert);
    switch ((int)alert) {
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
        return g_strdup("does not trust the CA of this engine, or the name that it asked for: its "
                        "ca.pem is to be that of client/");
    case GNUTLS_A_CERTIFICATE_EXPIRED:
        return g_strdup("takes the certificate of this engine for expired: are the clocks right?");
    default:
        return g_strdup_printf("gave up: %s", name != NULL ? name : "unknown alert");
    }
}

char *dinv_tls_refusal_to_string(gnutls_session_t session, int code, int plain_alert) {
    gnutls_alert_description_t alert = gnutls_alert_get(session);
    switch (code) {
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
        return NULL;
    case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
        return g_strdup(reason_of_verification(session));
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        /* GnuTLS takes any alert that comes instead of a certificate for "none". */
        return code != GNUTLS_E_FATAL_ALERT_RECEIVED && alert == GNUTLS_A_CLOSE_NOTIFY
                   ? g_strdup("showed no certificate")
                   : reason_of_alert(alert);
    default:
        return plain_alert >= 0 ? reason_of_alert((gnutls_alert_description_t)plain_alert)
                                : g_strdup_printf("failed: %s", gnutls_strerror(code));
    }
}
