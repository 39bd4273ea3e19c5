/* SPDX-License-Identifier: MIT */
/* The field `network` of `configure`, and what of it the verb `resolver` replaces. */
#include <stdlib.h>

#include "guest/configuration/sections.h"

static void take_host(DinvConfigurationReader *reader, struct json_object *entry, void *element) {
    DinvHostEntry *host = element;
    host->name = dinv_configuration_take_word(
        reader, dinv_configuration_field(reader, entry, "name"), "network.hosts.name");
    host->address = dinv_configuration_take_any_address(
        reader, dinv_configuration_field(reader, entry, "address"), "network.hosts.address");
}

static void take_resolver(DinvConfigurationReader *reader, struct json_object *object,
                          DinvNetworkConfiguration *network) {
    struct json_object *resolver = dinv_configuration_field(reader, object, "resolver");
    if (resolver != NULL &&
        dinv_configuration_expect_object(reader, resolver, "network.resolver")) {
        network->resolver = dinv_configuration_take_address(
            reader, dinv_configuration_field(reader, resolver, "address"),
            "network.resolver.address");
        network->resolver_port = (uint16_t)dinv_configuration_take_integer(
            reader, dinv_configuration_field(reader, resolver, "port"), "network.resolver.port", 1,
            UINT16_MAX);
    }
}

static void take_ethernet(DinvConfigurationReader *reader, struct json_object *object,
                          DinvNetworkConfiguration *network) {
    network->address = dinv_configuration_take_address(
        reader, dinv_configuration_field(reader, object, "address"), "network.address");
    network->prefix = (unsigned)dinv_configuration_take_integer(
        reader, dinv_configuration_field(reader, object, "prefix"), "network.prefix", 1, 32);
    struct json_object *gateway = dinv_configuration_field(reader, object, "gateway");
    if (gateway != NULL) {
        network->gateway = dinv_configuration_take_address(reader, gateway, "network.gateway");
    }
    struct json_object *mtu = dinv_configuration_field(reader, object, "mtu");
    if (mtu != NULL) {
        network->mtu =
            (unsigned)dinv_configuration_take_integer(reader, mtu, "network.mtu", 576, 65535);
    }
}

void dinv_configuration_take_network(DinvConfigurationReader *reader, struct json_object *body,
                                     DinvNetworkConfiguration *network) {
    struct json_object *object = dinv_configuration_field(reader, body, "network");
    if (object != NULL && !dinv_configuration_expect_object(reader, object, "network")) {
        return;
    }
    network->present = object != NULL;
    if (network->present) {
        take_ethernet(reader, object, network);
    }
    /* Without a network the lists are still made, empty: NULL has no fields. */
    network->dns = dinv_configuration_take_list(reader, object, "dns", "network.dns",
                                                dinv_configuration_take_any_address);
    network->search = dinv_configuration_take_list(reader, object, "search", "network.search",
                                                   dinv_configuration_take_word);
    network->options = dinv_configuration_take_list(reader, object, "options", "network.options",
                                                    dinv_configuration_take_word);
    network->hosts =
        dinv_configuration_take_objects(reader, object, "hosts", "network.hosts",
                                        sizeof *network->hosts, take_host, &network->host_count);
    take_resolver(reader, object, network);
}

int dinv_configuration_set_resolver(DinvConfiguration *configuration, struct json_object *body,
                                    char *reason, size_t reason_size) {
    DinvConfigurationReader reader = {.reason = reason, .reason_size = reason_size};
    DinvNetworkConfiguration *network = &configuration->network;
    char **search = dinv_configuration_take_list(&reader, body, "search", "search",
                                                 dinv_configuration_take_word);
    char **options = dinv_configuration_take_list(&reader, body, "options", "options",
                                                  dinv_configuration_take_word);
    if (reader.error != 0) {
        dinv_configuration_free_list(search);
        dinv_configuration_free_list(options);
        return reader.error;
    }
    dinv_configuration_free_list(network->search);
    dinv_configuration_free_list(network->options);
    network->search = search;
    network->options = options;
    return 0;
}

void dinv_configuration_clear_network(DinvNetworkConfiguration *network) {
    dinv_configuration_free_list(network->dns);
    dinv_configuration_free_list(network->search);
    dinv_configuration_free_list(network->options);
    for (size_t index = 0; index < network->host_count; index++) {
        free(network->hosts[index].name);
        free(network->hosts[index].address);
    }
    free(network->hosts);
}
