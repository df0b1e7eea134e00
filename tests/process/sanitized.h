/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether this was built with the address sanitizer: gcc says it in one way, older clangs in
 * another. */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
