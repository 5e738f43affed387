#include "diagnostics/lifecycle.h"

#include "base/text.h"

bool lifecycle_find(const struct lifecycle *lifecycle, const char *name, int *state)
{
    for (int i = 0; i < lifecycle->count; i++)
        if (string_is(lifecycle->states[i].name, name)) {
            *state = i;
            return true;
        }
    return false;
}

bool lifecycle_allows(const struct lifecycle *lifecycle, int from, int to)
{
    return lifecycle->states[from].followers & STATE(to);
}

bool lifecycle_check(const struct lifecycle *lifecycle, int from, int to, struct error *err)
{
    return lifecycle_allows(lifecycle, from, to) ||
           error_set(err, ERROR_CONFLICT, "%s is %s: it cannot become %s", lifecycle->noun,
                     lifecycle->states[from].name, lifecycle->states[to].name);
}
