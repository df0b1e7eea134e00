/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Every message of the dispatcher: its name here, its MESSAGE_ID, its priority. The texts for
 * `journalctl -x` stand under the same ids in systemd/acceptd.catalog; a test compares the two.
 *
 * CONNECTION_ENDED alone is LOG_DEBUG: journald counts what is too much for each class of
 * priorities apart, and what comes with each connection would take the place of all others.
 */

#define MESSAGES(X)                                                                                \
        X(STARTED, "49acceee32ac49319c4d06ddd32d9c59", LOG_INFO)                                   \
        X(LISTENERS_KEPT, "a365d2d958d7474a94c05eae99752ea2", LOG_WARNING)                         \
        X(STOPPING, "a2327ca9166e422291a7b3d7242bb13e", LOG_INFO)                                  \
        X(EXITS_IDLE, "6c3d895265884a6d860719ece1a04ce9", LOG_INFO)                                \
        X(STOPPED, "8beebc7b6e314cd59db5981dcec505b5", LOG_INFO)                                   \
        X(COUNTERS, "a4df0e0e43df405eb9e12bb65505e544", LOG_INFO)                                  \
        X(REFUSED_TO_START, "39cbcb45e9f740f0b6483915398685c7", LOG_ERR)                           \
        X(FAILED, "c47872321cf44ee6af73e9b0eada5331", LOG_ERR)                                     \
        X(GOES_ON_WITHOUT, "2f94029e46814614913a11287829ed8e", LOG_ERR)                            \
        X(WORKER_READY, "611e982752674a72916baa1915296507", LOG_INFO)                              \
        X(WORKER_ENDED, "0fa04652346e428bbbfa082084ec7f9e", LOG_INFO)                              \
        X(WORKER_RECYCLED, "cc22e77c92d7489fa1c97086723e1425", LOG_INFO)                           \
        X(WORKER_RETIRED, "76193c4817624797a883f12d347788eb", LOG_INFO)                            \
        X(WORKER_DRAINED, "1d9c057d226442dcbc28ee1ea5b22f53", LOG_INFO)                            \
        X(WORKER_DIED, "ea6cb8c1d5c1407c93c26841699f156b", LOG_WARNING)                            \
        X(WORKER_VIOLATED, "09739c7085634393bfc178a8e6236d8d", LOG_WARNING)                        \
        X(WORKER_UNREACHABLE, "1cd7b42f3caf47ae8436fcbd4a0118ee", LOG_WARNING)                     \
        X(WORKER_TERMINATED, "0978108732ea4bc687548f62888faaa8", LOG_WARNING)                      \
        X(WORKER_KILLED, "de4391380c944d669a4a0ca0fa7a985b", LOG_WARNING)                          \
        X(WORKER_HUNG, "ea3a7d57f3684985b35e68b379e7360e", LOG_WARNING)                            \
        X(QUEUE_TAKEN, "e67feab7dbc74bc4b4b95072e3aece18", LOG_WARNING)                            \
        X(CONNECTIONS_LOST, "bad2abeb4bf440c8b3bf478010a7cfc2", LOG_WARNING)                       \
        X(CONNECTIONS_REFUSED, "3e0528184b5a4ae49b1fa8cd021e553e", LOG_WARNING)                    \
        X(SOURCE_REFUSED, "61e429c88d7140b19b98986cfe58d648", LOG_WARNING)                         \
        X(CONNECTION_ENDED, "a17e91df8207485880b972ee3d0887a7", LOG_DEBUG)                         \
        X(POOL_DEGRADED, "c6d2ba80d097402fa79b1cf7e275028c", LOG_WARNING)                          \
        X(POOL_RECOVERED, "c10192da810a4fb4a69e517025520033", LOG_NOTICE)                          \
        X(POOL_FULL, "826241c02a354f88a6fe9c61e5be1f18", LOG_WARNING)                              \
        X(POOL_HAS_ROOM, "bd621fc65c3848ca8f66e50e97d0cc38", LOG_NOTICE)                           \
        X(PAUSED, "04e7f59a9aee45ebaf7fac5f335e8df0", LOG_NOTICE)                                  \
        X(RESUMED, "77d094b30f47444ba4ae5134c6aab382", LOG_NOTICE)                                 \
        X(LISTENER_SHUT_DOWN, "6f0b1f0c6a7f4a2cb3a84f4c0f6f7b51", LOG_ERR)                         \
        X(EXHAUSTED, "704c8e38a70c4b9981eddfa75caee1d8", LOG_WARNING)                              \
        X(RELOADED, "71d00fd87f4b40aeb527b086de6f4738", LOG_INFO)                                  \
        X(RELOAD_FAILED, "761dede703da462d84d57e6d129853b4", LOG_ERR)                              \
        X(ADOPTED, "79d7b21235e14d96a42f70a6f6902375", LOG_NOTICE)                                 \
        X(LEDGER_DAMAGED, "d53393c5be274f19ab571587bd60babf", LOG_ERR)                             \
        X(LEFTOVERS_ENDED, "401c5015170c4896aeeb9f297f4c356e", LOG_NOTICE)                         \
        X(SUPPRESSED, "0e04359928c74acaa4b9d9f1275e8e4e", LOG_WARNING)                             \
        X(DROPPED, "19f1876a55fc4028883f45b686a8f5dc", LOG_WARNING)

enum message {
#define MESSAGE_ENUM(name, id, priority) MESSAGE_##name,
        MESSAGES(MESSAGE_ENUM)
#undef MESSAGE_ENUM
                MESSAGE_COUNT,
};
