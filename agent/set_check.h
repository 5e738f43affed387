/* Is a set fit to run: its versions with each other, and their files on the disk? */
#ifndef AGENT_SET_CHECK_H
#define AGENT_SET_CHECK_H

#include "agent/floors.h"
#include "agent/set.h"

#define CHECK_WHY 300
#define CHECK_BYTES                                                                                          \
    (INT64_C(64) << 20) /* that a check hashes; of larger sets the rest is judged by length                  \
                         */

/* Does each member have beside it what its manifest `requires`? Else `why` names both. A manifest that is not
 * kept says nothing here. */
bool set_fits(int state_fd, const struct set *set, char why[CHECK_WHY]);
/* Are all links, folders and files there, of the right length and, up to `bytes` in all, with the right
 * bytes? Versions that are not are removed, with the objects that are damaged, so that they are fetched anew.
 */
bool set_is_whole(int state_fd, const struct set *set, int64_t bytes, char why[CHECK_WHY]);
/* No member is below its asset's security counter. */
bool set_is_allowed(const struct floors *floors, const struct set *set, char why[CHECK_WHY]);

#endif
