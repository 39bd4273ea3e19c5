/* SPDX-License-Identifier: MIT */
/*
 * The room usernet: the messages between the launcher and the network process dinv-usernet, as
 * bytes (docs/usernet.md, "Control"). Both sides compile it. No I/O, no GLib, nothing of what a
 * message leads to may enter.
 *
 * One message is one packet of a SOCK_SEQPACKET socket pair: ASCII, at most
 * DINV_USERNET_MESSAGE_MAX bytes, fields separated by one space, no newline and no NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DINV_USERNET_VERSION      1u
#define DINV_USERNET_MESSAGE_MAX  512u
#define DINV_USERNET_ID_MAX       0x7fffffffu
#define DINV_USERNET_FEATURES_MAX 256u
#define DINV_USERNET_TEXT_MAX     400u
/* As INET6_ADDRSTRLEN. */
#define DINV_USERNET_ADDRESS_SIZE 46u

/* Where a forward listens in the outer container. "0.0.0.0" is all of IPv4, "::" all of IPv6 and
 * nothing of IPv4. */
typedef struct {
    bool udp;
    bool ipv6;
    uint8_t address[16]; /* network order; the first four for IPv4, the rest zero */
    uint16_t port;       /* 1 to 65535 */
} DinvUsernetEndpoint;

typedef enum {
    DINV_USERNET_ADD,
    DINV_USERNET_REMOVE,
    DINV_USERNET_LIST,
    DINV_USERNET_STOP,
} DinvUsernetVerb;

/* Launcher to dinv-usernet. */
typedef struct {
    uint32_t id; /* 1 to DINV_USERNET_ID_MAX */
    DinvUsernetVerb verb;
    DinvUsernetEndpoint endpoint; /* add, remove */
    uint16_t guest_port;          /* add */
} DinvUsernetRequest;

typedef enum {
    DINV_USERNET_READY,   /* the first message; no id */
    DINV_USERNET_OK,      /* the request is carried out */
    DINV_USERNET_ERROR,   /* it is not */
    DINV_USERNET_FORWARD, /* one line of a list; its OK follows */
} DinvUsernetReplyType;

/* dinv-usernet to launcher. */
typedef struct {
    DinvUsernetReplyType type;
    uint32_t id;
    uint32_t version;                             /* ready */
    char features[DINV_USERNET_FEATURES_MAX + 1]; /* ready: a comma list of words, or "none" */
    int error;                                    /* error: an errno, above 0 */
    char text[DINV_USERNET_TEXT_MAX + 1];         /* error: for people; printable ASCII */
    DinvUsernetEndpoint endpoint;                 /* forward, and what follows as well */
    uint16_t guest_port;
    uint64_t connections; /* since the forward was added; flows for UDP */
    uint64_t open;        /* of them, now */
    uint64_t to_guest;    /* bytes of payload */
    uint64_t from_guest;
} DinvUsernetReply;

/* Text of the address alone, NUL-terminated. */
void dinv_usernet_address_format(const DinvUsernetEndpoint *endpoint,
                                 char out[static DINV_USERNET_ADDRESS_SIZE]);
/* Takes a numeric IPv4 or IPv6 address, NUL-terminated; false, endpoint untouched, for all else. */
bool dinv_usernet_address_parse(const char *text, DinvUsernetEndpoint *endpoint);
bool dinv_usernet_endpoint_equal(const DinvUsernetEndpoint *a, const DinvUsernetEndpoint *b);

/* Both return the length without the NUL that they add, or -EINVAL if a field is out of its
 * range. */
int dinv_usernet_request_encode(const DinvUsernetRequest *request,
                                char out[static DINV_USERNET_MESSAGE_MAX + 1]);
int dinv_usernet_reply_encode(const DinvUsernetReply *reply,
                              char out[static DINV_USERNET_MESSAGE_MAX + 1]);

/* Both return 0, or -EBADMSG for what is no message, with the output untouched. A request whose id
 * could be read has it in *id then, 0 if not, so that it can be answered. */
int dinv_usernet_request_decode(const char *message, size_t len, DinvUsernetRequest *request,
                                uint32_t *id);
int dinv_usernet_reply_decode(const char *message, size_t len, DinvUsernetReply *reply);
