/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a decision to deeds: one call for each action. What the deeds are is their owner's matter.
 */

#include "policy/pool-deeds.h"

static int carry_out(
        const struct pool_action *action, const struct pool_deeds *deeds, void *userdata)
{
        switch (action->type) {
        case POOL_SPAWN:
                deeds->spawn(userdata, action->row, action->on_trial);
                return 0;
        case POOL_DRAIN:
                deeds->drain(userdata, action->row, action->drain);
                return 0;
        case POOL_PASS:
                deeds->pass(userdata, action->row);
                return 0;
        case POOL_TERMINATE:
                deeds->terminate(userdata, action->row);
                return 0;
        case POOL_ABORT:
                deeds->abort(userdata, action->row);
                return 0;
        case POOL_KILL:
                deeds->kill(userdata, action->row);
                return 0;
        case POOL_TAKE_BACK:
                return deeds->take_back(userdata, action->row);
        case POOL_ASK:
                return deeds->ask(userdata, action->row, action->question);
        case POOL_SAMPLE:
                deeds->sample(userdata);
                return 0;
        case POOL_WEIGH:
                deeds->weigh(userdata);
                return 0;
        case POOL_HAND_OVER:
                return deeds->hand_over(userdata);
        case POOL_REFUSE:
                deeds->refuse(userdata);
                return 0;
        case POOL_REST:
        default:
                deeds->rest(userdata);
                return 0;
        }
}

int pool_carry_out(
        const struct pool_decision *decision, const struct pool_deeds *deeds, void *userdata)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < decision->n_actions; i++)
                r = carry_out(&decision->actions[i], deeds, userdata);

        return r;
}
