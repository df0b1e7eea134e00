/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Signals that come to a worker and are not meant for it.
 */

#include <signal.h>

#include "base/base.h"
#include "libacceptd/signals.h"

static unsigned n_outlived; /* lock-free, so a handler may write it */

static void on_signal_of_the_dispatcher(int signal)
{
        (void)signal;
        (void)__atomic_add_fetch(&n_outlived, 1, __ATOMIC_RELAXED);
}

unsigned signals_count_outlived(void)
{
        return __atomic_load_n(&n_outlived, __ATOMIC_RELAXED);
}

void signals_outlive(void)
{
        static const int signals[] = { SIGHUP, SIGUSR1 };
        struct sigaction nothing = { .sa_handler = on_signal_of_the_dispatcher,
                .sa_flags = SA_RESTART };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                struct sigaction now;

                if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
                        (void)sigaction(signals[i], &nothing, NULL);
        }
}
