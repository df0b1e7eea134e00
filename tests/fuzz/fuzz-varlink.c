/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bytes on a Varlink connection: read, parsed, answered. */

#include <sys/socket.h>
#include <unistd.h>

#include "varlink/message.h"
#include "varlink/stream.h"

#include "fuzz.h"

static void handle(struct varlink_stream *stream, json_t *message)
{
        struct varlink_call call = {};
        const char *wrong = NULL, *error = NULL;
        const json_t *parameters = NULL;
        json_t *reply;

        if (varlink_call_parse(message, &call, &wrong)) {
                static const char *const known[] = { "interface", NULL };

                wrong = varlink_call_unknown_parameter(&call, known);
        }
        (void)varlink_reply_parse(message, &error, &parameters);
        reply = varlink_make_simple_error(VARLINK_INVALID_PARAMETER, wrong ? wrong : "x");
        fuzz_expect(reply);
        (void)varlink_stream_send(stream, reply);
        json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct varlink_stream stream = VARLINK_STREAM_NULL;
        int ends[2], r = 0;

        fuzz_expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        varlink_stream_init(&stream, ends[0], 512);
        (void)!write(ends[1], data, size);
        (void)shutdown(ends[1], SHUT_WR);
        for (int i = 0; i < 4096 && (r == 0 || r == VARLINK_WAIT); i++) {
                json_t *message = NULL;

                r = varlink_stream_receive(&stream, &message);
                if (r == 0) {
                        handle(&stream, message);
                        json_decref(message);
                }
        }
        varlink_stream_done(&stream);
        (void)close(ends[1]);
        return 0;
}
