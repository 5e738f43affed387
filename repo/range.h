/* Ranges of semantic versions: what a version `requires` of another asset.
 *
 * Comparators =, <, <=, >, >= (none is =), ^ and ~, versions with parts left out or x, X, * in their place,
 * "A - B"; a space is and, "||" is or. At most 256 bytes, 32 comparators (^, ~ and left-out parts count as
 * the two that they stand for), numbers of at most 15 digits. Source: the published grammar and rules of
 * node-semver (npm/node-semver, README "Ranges", "Advanced Range Syntax", "Prerelease Tags") over Semantic
 * Versioning 2.0.0, less the empty range, a leading "v" and the loose mode. A pre-release fits a set of
 * comparators only when one of them names a pre-release of the same major.minor.patch: pre-releases go to
 * those who asked. Build metadata is ignored. */
#ifndef REPO_RANGE_H
#define REPO_RANGE_H

#include "base/error.h"

#include <stdbool.h>

#define RANGE_SIZE 257 /* with NUL */

/* INPUT with a sentence that names the part that is not understood; LIMIT when it is too long. NULL is
 * refused. */
bool range_check(const char *range, struct error *err);
/* Is the version in the range? False for anything that is no range or no version. */
bool range_holds(const char *range, const char *version);

#endif
