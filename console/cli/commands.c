/* The table of commands: what `locum --help` shows and what each takes. */
#include "console/cli/cli.h"

static const struct cli_option login_options[] = {
    {"name", "NAME", OPTION_ONE, "operator (asked for when absent)"},
    {"password-file", "FILE", OPTION_ONE, "read the password from FILE instead of the terminal"},
    {0},
};
static const struct cli_option token_options[] = {
    {"user", "NAME", OPTION_ONE, "the operator that the token acts as"},
    {"name", "NAME", OPTION_ONE, "what the token is called"},
    {"data", "DIR", OPTION_ONE, "the server's data folder"},
    {"role", "ROLE", OPTION_ONE, "viewer, support, release or admin (default: the operator's own)"},
    {"expires", "DURATION", OPTION_ONE, "for example 90d (default: a year)"},
    {0},
};
static const struct cli_option data_options[] = {
    {"data", "DIR", OPTION_ONE, "the server's data folder"},
    {0},
};
static const struct cli_option publish_options[] = {
    {"version", "V", OPTION_ONE, "semantic version 2.0, new for this asset"},
    {"kind", "K", OPTION_ONE,
     "app, module, model, data, config, bootloader, mcu, diagnostic (default: the asset's, else data)"},
    {"activation", "A", OPTION_ONE, "notify or restart (default: notify; app and module: restart)"},
    {"title", "TEXT", OPTION_ONE, "one line"},
    {"notes", "TEXT", OPTION_ONE, "what changed"},
    {"hardware", "R…", OPTION_WORDS, "only for these hardware revisions"},
    {"counter", "N", OPTION_ONE, "security counter (default: that of the version before)"},
    {"requires", "ASSET=RANGE", OPTION_EACH, "needs that asset in this range, as runtime='>=1.2.0 <2.0.0'"},
    {0},
};
static const struct cli_option release_options[] = {
    {"group", "G", OPTION_ONE, "only the group's devices"},
    {"end", NULL, OPTION_FLAG, "end the group's release: the product's holds again (no V)"},
    {"force", NULL, OPTION_FLAG, "also when V is not proven on enough devices; needs a reason"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log and the history"},
    {0},
};
static const struct cli_option withdraw_options[] = {
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log and the history (needed)"},
    {0},
};
static const struct cli_option asset_list_options[] = {
    {"product", "PRODUCT", OPTION_ONE, "only this product's"},
    {0},
};
static const struct cli_option claim_options[] = {
    {"product", "PRODUCT", OPTION_ONE, "the product that the device will belong to"},
    {"hardware", "R", OPTION_ONE, "the hardware revision it must have"},
    {"review", NULL, OPTION_FLAG, "a person accepts the device after it enrolled"},
    {0},
};
static const struct cli_option filter_options[] = {
    {"filter", "F", OPTION_ONE, "the console's filter, for example 'product:demo connectivity:online'"},
    {0},
};
static const struct cli_option group_options[] = {
    {"filter", "F", OPTION_ONE, "the devices that match, now and later"},
    {"device", "NAME…", OPTION_MANY, "these devices"},
    {0},
};
static const struct cli_option group_delete_options[] = {
    {"force", NULL, OPTION_FLAG, "its releases end with it"},
    {0},
};
static const struct cli_option rollout_options[] = {
    {"group", "G", OPTION_ONE, "the devices of this group"},
    {"filter", "F", OPTION_ONE, "the devices that match"},
    {"device", "NAME…", OPTION_MANY, "these devices"},
    {"stages", "SHARES", OPTION_EACH, "shares from the first device on, such as 1%,10%,50%,100% or 5,100%"},
    {"soak", "TIME", OPTION_ONE, "how long a device must keep running it (default: 0)"},
    {"max-failures", "SHARE", OPTION_ONE,
     "5% or 3 of a stage, more hold the rollout (default: 5%; any: no limit)"},
    {"min-successes", "N", OPTION_ONE, "of a stage before the next begins"},
    {"approval", NULL, OPTION_FLAG, "a person lets each next stage begin"},
    {"device-deadline", "TIME", OPTION_ONE, "from a device's order to success (default: 1h)"},
    {"stage-deadline", "TIME", OPTION_ONE, "from a stage's start to its end"},
    {"window", "HH:MM-HH:MM", OPTION_ONE, "apply only then, in each device's local time"},
    {"at", "TIME", OPTION_ONE, "start then (RFC 3339) instead of now"},
    {"ends-at", "TIME", OPTION_ONE, "nobody new is asked after it"},
    {"parallel", "N", OPTION_ONE, "at most N devices on their way at once"},
    {"rate", "BYTES", OPTION_ONE, "bytes a second for each device at most"},
    {"retries", "N", OPTION_ONE, "ask a device that failed again, after 1, 2, 4 … minutes"},
    {"auto-roll-back", NULL, OPTION_FLAG, "a gate rolls back instead of holding"},
    {"late-joiners", NULL, OPTION_FLAG, "devices that come to match later join the last stage"},
    {"draft", NULL, OPTION_FLAG, "make it, start it later"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {"ticket", "T", OPTION_ONE, "number of the change request"},
    {"expect-count", "N", OPTION_ONE, "refuse when another number of devices matches"},
    {"dry-run", NULL, OPTION_FLAG, "say what would happen, do nothing"},
    {"wait", NULL, OPTION_FLAG, "wait for the end and print the rollout"},
    {"timeout", "TIME", OPTION_ONE, "with --wait: give up after this time, exit code 7"},
    {0},
};
static const struct cli_option rollout_do_options[] = {
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option exclude_options[] = {
    {"device", "NAME…", OPTION_MANY, "these devices"},
    {0},
};
static const struct cli_option pin_options[] = {
    {"on-reset", NULL, OPTION_FLAG, "take it up when the device's agent starts the next time, not now"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option develop_options[] = {
    {"off", NULL, OPTION_FLAG, "it takes releases and rollouts again"},
    {0},
};
static const struct cli_option campaign_options[] = {
    {"image", "PRODUCT/IMAGE@V", OPTION_ONE, "the diagnostic image; without @V its newest version"},
    {"device", "NAME…", OPTION_MANY, "these devices"},
    {"filter", "F", OPTION_ONE, "the devices that match, decided at the start"},
    {"duration", "TIME", OPTION_ONE, "how long the image collects, for example 30s or 15m"},
    {"at", "TIME", OPTION_ONE, "start then (RFC 3339) instead of now"},
    {"parallel", "N", OPTION_ONE, "at most N devices on the image at once"},
    {"param", "NAME=VALUE", OPTION_EACH, "a parameter that the image declares"},
    {"ticket", "T", OPTION_ONE, "number of the support case"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {"expect-count", "N", OPTION_ONE, "refuse when the filter matches another number of devices"},
    {"wait", NULL, OPTION_FLAG, "wait for the end and print the run"},
    {"timeout", "TIME", OPTION_ONE, "with --wait: give up after this time, exit code 7"},
    {"mode", "M", OPTION_ONE, "replace, beside or override: refused when the image is signed for another"},
    {"window", "HH:MM-HH:MM", OPTION_ONE, "begin only then, by each device's own clock"},
    {"repeat", "RULE", OPTION_ONE, "daily, weekly:mon,thu or monthly:1,15,last"},
    {"until", "DATE", OPTION_ONE, "the last date of a campaign that repeats, or a time"},
    {"count", "N", OPTION_ONE, "at most N runs"},
    {"blackout", "DATE", OPTION_EACH, "no run on that date"},
    {"max-failures", "N", OPTION_ONE, "more failures than N, or N%, pause it"},
    {"device-deadline", "TIME", OPTION_ONE,
     "silence after a device took its order: then it failed (default: 10m)"},
    {"collect", "NAME…", OPTION_MANY, "only these of what the image may collect"},
    {"redact", "PATTERN", OPTION_ONE, "blot out what matches (POSIX extended), on the device"},
    {"max-output", "BYTES", OPTION_ONE, "collect at most so many bytes on a device"},
    {"dry-run", NULL, OPTION_FLAG, "say what would happen, and do nothing"},
    {0},
};
static const struct cli_option campaign_reason_options[] = {
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option return_options[] = {
    {"device", "NAME…", OPTION_MANY, "only these devices"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option extend_options[] = {
    {"duration", "TIME", OPTION_ONE, "how long in all, for example 30m"},
    {"device", "NAME…", OPTION_MANY, "only these devices"},
    {0},
};
static const struct cli_option watch_options[] = {
    {"timeout", "TIME", OPTION_ONE, "give up after this time, exit code 7"},
    {0},
};
static const struct cli_option download_options[] = {
    {"to", "DIR", OPTION_ONE, "files land in DIR/<device>/<path>"},
    {"device", "NAME…", OPTION_MANY, "only of these devices"},
    {"tar", "FILE", OPTION_ONE, "all of the run as one tar instead; - is standard output"},
    {0},
};
static const struct cli_option reason_options[] = {
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option hold_options[] = {
    {"off", NULL, OPTION_FLAG, "let it go again"},
    {"reason", "TEXT", OPTION_ONE, "why, for the audit log"},
    {0},
};
static const struct cli_option operator_options[] = {
    {"role", "ROLE", OPTION_ONE, "viewer, support, release or admin"},
    {"password-file", "FILE", OPTION_ONE, "read the password from FILE instead of the terminal"},
    {0},
};
static const struct cli_option hook_options[] = {
    {"to", "URL", OPTION_ONE, "https, or http to this machine"},
    {"event", "E", OPTION_EACH, "alarm, rollout or campaign (default: all)"},
    {0},
};

const struct command cli_commands[] = {
    {"login", NULL, "", 0, 0, "sign in to LOCUM_URL (or --url) and keep a token in ~/.config/locum/config",
     login_options, cli_login},
    {"token", "create", "", 0, 0, "make an API token on the server's machine and print it", token_options,
     cli_token_create},
    {"asset", "publish", "PRODUCT/ASSET PATH…", 2, -1,
     "publish a version: a folder gives its contents, a file its base name", publish_options,
     cli_asset_publish},
    {"asset", "release", "PRODUCT/ASSET V", 1, 2, "devices of the product run V from their next check-in on",
     release_options, cli_asset_release},
    {"asset", "withdraw", "PRODUCT/ASSET V", 2, 2,
     "offer V to nobody any more, for good, and list who runs it", withdraw_options, cli_asset_withdraw},
    {"asset", "list", "", 0, 0, "all assets", asset_list_options, cli_asset_list},
    {"asset", "show", "PRODUCT/ASSET", 1, 1, "an asset and its versions", NULL, cli_asset_show},
    {"asset", "history", "PRODUCT/ASSET", 1, 1, "who published and released what, when and why (from git)",
     NULL, cli_asset_history},
    {"asset", "diff", "PRODUCT/ASSET V1 V2", 3, 3, "what differs between two versions", NULL, cli_asset_diff},
    {"product", "list", "", 0, 0, "products, with their settings", NULL, cli_product_list},
    {"product", "show", "PRODUCT", 1, 1, "a product's settings", NULL, cli_product_show},
    {"product", "set", "PRODUCT KEY=VALUE…", 2, -1, "change settings, those that product show lists", NULL,
     cli_product_set},
    {"group", "create", "NAME", 1, 1, "put devices under one name: fixed, or by a filter that is followed",
     group_options, cli_group_create},
    {"group", "list", "", 0, 0, "all groups", NULL, cli_group_list},
    {"group", "show", "NAME", 1, 1, "a group, its members and releases", NULL, cli_group_show},
    {"group", "delete", "NAME", 1, 1, "end a group; its devices stay", group_delete_options,
     cli_group_delete},
    {"device", "claim", "", 0, 0, "make a claim code for one new device", claim_options, cli_device_claim},
    {"device", "list", "", 0, 0, "devices, all or those that match", filter_options, cli_device_list},
    {"device", "show", "NAME", 1, 1, "one device: what it runs, wants and says", NULL, cli_device_show},
    {"device", "accept", "NAME…", 1, -1, "let enrolled devices in", NULL, cli_device_admit},
    {"device", "reject", "NAME…", 1, -1, "turn enrolled devices away", NULL, cli_device_admit},
    {"device", "retire", "NAME…", 1, -1, "end a device's membership", NULL, cli_device_admit},
    {"rollout", "create", "PRODUCT/ASSET V", 2, 2, "move devices to V, stage by stage", rollout_options,
     cli_rollout_create},
    {"rollout", "list", "", 0, 0, "all rollouts", NULL, cli_rollout_list},
    {"rollout", "show", "N", 1, 1, "one rollout, its stages, and why devices failed", NULL, cli_rollout_show},
    {"rollout", "watch", "N", 1, 1, "the same, until it ends", watch_options, cli_rollout_watch},
    {"rollout", "start", "N", 1, 1, "start a draft, or one that waits for its time", rollout_do_options,
     cli_rollout_do},
    {"rollout", "pause", "N", 1, 1, "ask nobody new", rollout_do_options, cli_rollout_do},
    {"rollout", "resume", "N", 1, 1, "go on; of a held one: accept its failures so far", rollout_do_options,
     cli_rollout_do},
    {"rollout", "advance", "N", 1, 1, "begin the next stage now", rollout_do_options, cli_rollout_do},
    {"rollout", "abort", "N", 1, 1, "ask nobody new, end once those on their way are done",
     rollout_do_options, cli_rollout_do},
    {"rollout", "roll-back", "N", 1, 1, "every device gets back what it ran before", rollout_do_options,
     cli_rollout_do},
    {"rollout", "retry", "N", 1, 1, "ask those that failed again", rollout_do_options, cli_rollout_do},
    {"rollout", "exclude", "N", 1, 1, "take devices out", exclude_options, cli_rollout_exclude},
    {"device", "pin", "NAME PRODUCT/ASSET V", 3, 3,
     "hold a device at a version: it takes no release or rollout of it", pin_options, cli_device_pin},
    {"device", "unpin", "NAME PRODUCT/ASSET", 2, 2, "let it go again", NULL, cli_device_unpin},
    {"device", "develop", "NAME", 1, 1, "a development device keeps what it has and takes only pins",
     develop_options, cli_device_develop},
    {"device", "why", "NAME", 1, 1, "why it runs what it runs, and what it waits for", NULL, cli_device_why},
    {"campaign", "create", "", 0, 0, "send a temporary diagnostic image to devices", campaign_options,
     cli_campaign_create},
    {"campaign", "list", "", 0, 0, "all campaigns", NULL, cli_campaign_list},
    {"campaign", "show", "CAMPAIGN", 1, 1, "one campaign and its runs", NULL, cli_campaign_show},
    {"campaign", "end", "CAMPAIGN", 1, 1, "cancel what has not begun, revert what runs", NULL,
     cli_campaign_end},
    {"campaign", "pause", "CAMPAIGN", 1, 1, "no device begins any more; what has begun goes on",
     campaign_reason_options, cli_campaign_pause},
    {"campaign", "resume", "CAMPAIGN", 1, 1, "devices may begin again", campaign_reason_options,
     cli_campaign_resume},
    {"campaign", "approve", "CAMPAIGN", 1, 1, "agree to what another person made: it begins", NULL,
     cli_campaign_approve},
    {"run", "show", "CAMPAIGN [N]", 1, 2, "a run, device by device (default: the newest)", NULL,
     cli_run_show},
    {"run", "watch", "CAMPAIGN [N]", 1, 2, "the same, until it ends", watch_options, cli_run_watch},
    {"run", "return-now", "CAMPAIGN [N]", 1, 2,
     "bring devices back from the image now (default: all of the run)", return_options, cli_run_return_now},
    {"run", "extend", "CAMPAIGN [N]", 1, 2, "let devices stay so long in all, within the signed limit",
     extend_options, cli_run_extend},
    {"capture", "list", "[CAMPAIGN [N]]", 0, 2, "what was collected", NULL, cli_capture_list},
    {"capture", "download", "CAMPAIGN [N]", 1, 2, "fetch what a run collected", download_options,
     cli_capture_download},
    {"capture", "show", "ID", 1, 1, "one capture and its files", NULL, cli_capture_show},
    {"capture", "matrix", "CAMPAIGN [N]", 1, 2, "what came of each device, what did not, and why", NULL,
     cli_capture_matrix},
    {"capture", "delete", "ID…", 1, -1, "remove captured files for good", reason_options, cli_capture_delete},
    {"capture", "hold", "ID", 1, 1, "keep a capture whatever its age", hold_options, cli_capture_hold},
    {"operator", "create", "NAME", 1, 1, "let a person sign in", operator_options, cli_operator_create},
    {"operator", "list", "", 0, 0, "who may sign in, and as what", NULL, cli_operator_list},
    {"operator", "set", "NAME", 1, 1, "another role, another password", operator_options, cli_operator_set},
    {"operator", "remove", "NAME", 1, 1, "let nobody sign in by this name", NULL, cli_operator_remove},
    {"hook", "create", "NAME", 1, 1, "tell a web address what happens; prints the secret once", hook_options,
     cli_hook_create},
    {"hook", "list", "", 0, 0, "all hooks", NULL, cli_hook_list},
    {"hook", "delete", "NAME", 1, 1, "tell it nothing more", NULL, cli_hook_delete},
    {"hook", "log", "NAME", 1, 1, "what was sent and what became of it", NULL, cli_hook_log},
    {"repo", "verify", "", 0, 0, "check git, every object and the signed metadata", data_options,
     cli_repo_care},
    {"repo", "reindex", "", 0, 0, "remake the index from git", data_options, cli_repo_care},
    {0},
};
