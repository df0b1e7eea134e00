/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The interfaces of a running instance, as https://varlink.org/Interface-Definition has them. The
 * texts are what `varlinkctl introspect` shows, and the reference for what goes over the socket.
 */

/* The socket's name in the instance's runtime directory. */
#define VARLINK_POOL_SOCKET "io.acceptd.Pool"

#define VARLINK_POOL          "io.acceptd.Pool"
#define VARLINK_GET_STATUS    VARLINK_POOL ".GetStatus"
#define VARLINK_RELOAD        VARLINK_POOL ".Reload"
#define VARLINK_CANCEL_RELOAD VARLINK_POOL ".CancelReload"
#define VARLINK_CONNECTIONS   VARLINK_POOL ".ListConnections"
#define VARLINK_SOURCES       VARLINK_POOL ".ListSources"
#define VARLINK_MONITOR       VARLINK_POOL ".Monitor"
#define VARLINK_SETTINGS      VARLINK_POOL ".GetSettings"
#define VARLINK_DRAIN         VARLINK_POOL ".DrainWorker"
#define VARLINK_PAUSE         VARLINK_POOL ".Pause"
#define VARLINK_RESUME        VARLINK_POOL ".Resume"
#define VARLINK_RELOAD_FAILED VARLINK_POOL ".ReloadFailed" /* reason */
#define VARLINK_NO_RELOAD     VARLINK_POOL ".NoReload"
#define VARLINK_NO_WORKER     VARLINK_POOL ".NoSuchWorker"
#define VARLINK_IMPOSSIBLE    VARLINK_POOL ".Impossible" /* reason */
#define VARLINK_BUSY          VARLINK_POOL ".Busy"

#define VARLINK_SERVICE         "org.varlink.service"
#define VARLINK_GET_INFO        VARLINK_SERVICE ".GetInfo"
#define VARLINK_GET_DESCRIPTION VARLINK_SERVICE ".GetInterfaceDescription"

/* Returns the definition of an interface, or NULL where there is none of that name. */
const char *varlink_interface_text(const char *name);
