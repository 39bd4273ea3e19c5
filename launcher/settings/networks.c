/* SPDX-License-Identifier: MIT */
/* IPv4 networks, and addresses of hosts in them. */
#include "launcher/settings/types.h"

gboolean dinv_settings_parse_subnet(const char *text, DinvIpv4Network *subnet, GError **error) {
    DinvIpv4Network parsed = {0};
    if (!dinv_ipv4_network_parse(text, &parsed) || parsed.prefix < 8 || parsed.prefix > 27) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not an IPv4 network of prefix 8 to 27 (such as 10.0.2.0/24)", text);
        return FALSE;
    }
    if (parsed.address != dinv_ipv4_network_of(&parsed).address) {
        g_autofree char *meant = dinv_ipv4_network_to_string(&parsed);
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is the address of a host, its network is %s", text, meant);
        return FALSE;
    }
    *subnet = parsed;
    return TRUE;
}

gboolean dinv_settings_parse_bridge_address(const char *text, DinvIpv4Network *address,
                                            GError **error) {
    DinvIpv4Network parsed = {0};
    if (!dinv_ipv4_network_parse(text, &parsed) || parsed.prefix < 8 || parsed.prefix > 29) {
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is not an IPv4 address with a prefix of 8 to 29 "
                    "(such as 172.30.0.1/16)",
                    text);
        return FALSE;
    }
    guint32 first = dinv_ipv4_network_of(&parsed).address;
    if (parsed.address == first || parsed.address == first + ((1u << (32 - parsed.prefix)) - 1)) {
        g_autofree char *meant = dinv_ipv4_network_host_to_string(&parsed, 1);
        g_set_error(error, DINV_SETTINGS_ERROR, DINV_SETTINGS_ERROR_INVALID,
                    "\"%s\" is no address that a host can have, "
                    "the first of that network is %s/%u",
                    text, meant, parsed.prefix);
        return FALSE;
    }
    *address = parsed;
    return TRUE;
}
