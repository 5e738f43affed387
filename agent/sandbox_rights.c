#include "agent/sandbox_parts.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define NATIVE_ARCH AUDIT_ARCH_ARM
#elif defined(__i386__)
#define NATIVE_ARCH AUDIT_ARCH_I386
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#else
#error "name this machine's audit architecture"
#endif

#define FILE_LIMIT 256 /* open files of one process */

struct capability {
    const char *name;
    int number;
};
static const struct capability capabilities[] = {
    {"net_raw", CAP_NET_RAW}, {"syslog", CAP_SYSLOG}, {"dac_read_search", CAP_DAC_READ_SEARCH}};

int sandbox_capability(const char *name)
{
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        if (strcmp(name, capabilities[i].name) == 0)
            return capabilities[i].number;
    return -1;
}

static bool limit(int what, int64_t value, struct error *err)
{
    struct rlimit bound = {.rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value};
    if (setrlimit((__rlimit_resource_t)what, &bound) != 0)
        return error_errno(err, "resource limit %d", what);
    return true;
}

static bool set_limits(const struct sandbox_plan *plan, struct error *err)
{
    /* A page more than the output holds: a full disk is then ENOSPC, not SIGXFSZ. The first process counts as
     * one more. */
    return limit(RLIMIT_CORE, 0, err) && limit(RLIMIT_NOFILE, FILE_LIMIT, err) &&
           limit(RLIMIT_FSIZE, plan->max_output + 8192, err) &&
           limit(RLIMIT_NPROC, plan->max_pids + 1, err) && limit(RLIMIT_MEMLOCK, 65536, err) &&
           limit(RLIMIT_MSGQUEUE, 65536, err) && limit(RLIMIT_NICE, 0, err) && limit(RLIMIT_RTPRIO, 0, err) &&
           (!plan->memory_by_rlimit || limit(RLIMIT_AS, plan->max_memory, err));
}

static uint64_t wanted_capabilities(const struct sandbox_plan *plan)
{
    uint64_t mask = 0;
    for (const char *const *at = plan->capabilities; at != NULL && *at != NULL; at++) {
        int number = sandbox_capability(*at);
        if (number >= 0)
            mask |= UINT64_C(1) << number;
    }
    return mask;
}

static bool drop_bounding(uint64_t keep, struct error *err)
{
    for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
        if (!(keep >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0)
            return error_errno(err, "capability %d", number);
    return true;
}

/* Exactly `keep`, and so that they pass to the image's program (capabilities(7), "Ambient"). */
static bool set_capabilities(uint64_t keep, struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        uint32_t part = (uint32_t)(keep >> (32 * i));
        data[i] = (struct __user_cap_data_struct){.effective = part, .permitted = part, .inheritable = part};
    }
    if (syscall(SYS_capset, &header, data) != 0)
        return error_errno(err, "capabilities");
    for (int number = 0; number < 64; number++)
        if ((keep >> number & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0)
            return error_errno(err, "capability %d", number);
    return true;
}

static bool change_user(uid_t uid, struct error *err)
{
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
        return error_errno(err, "change to uid %u", uid);
    return true;
}

#define NAMESPACE_FLAGS                                                                                      \
    (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |               \
     CLONE_NEWCGROUP)

/* Calls that an image without rights has no use for, and that have led out of better walls. open_by_handle_at
 * would reach any file of a bound file system with dac_read_search; namespaces of users give back what was
 * dropped. */
static const int refused_calls[] = {
    SYS_mount,           SYS_umount2,       SYS_pivot_root,        SYS_chroot,        SYS_setns,
    SYS_unshare,         SYS_fsopen,        SYS_fsmount,           SYS_fsconfig,      SYS_fspick,
    SYS_move_mount,      SYS_open_tree,     SYS_open_by_handle_at, SYS_bpf,           SYS_perf_event_open,
    SYS_userfaultfd,     SYS_keyctl,        SYS_add_key,           SYS_request_key,   SYS_io_uring_setup,
    SYS_io_uring_enter,  SYS_kexec_load,    SYS_init_module,       SYS_finit_module,  SYS_delete_module,
    SYS_reboot,          SYS_swapon,        SYS_swapoff,           SYS_acct,          SYS_quotactl,
    SYS_settimeofday,    SYS_clock_settime, SYS_sethostname,       SYS_setdomainname,
#ifdef SYS_mount_setattr
    SYS_mount_setattr,
#endif
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
};
#define REFUSED (sizeof refused_calls / sizeof refused_calls[0])

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define WHEN_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))

static bool filter_calls(struct error *err)
{
    const struct sock_filter head[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS), /* another machine's call numbers would mean other calls */
        LOAD(nr),
#if defined(__x86_64__)
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 */
        ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
#endif
        WHEN_NOT(SYS_clone3, 1), /* its flags lie in memory: the C library then uses clone */
        ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
        WHEN_NOT(SYS_clone, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACE_FLAGS, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | EPERM),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_filter program[sizeof head / sizeof head[0] + 2 * REFUSED + 1];
    size_t size = sizeof head / sizeof head[0];
    memcpy(program, head, sizeof head);
    for (size_t i = 0; i < REFUSED; i++) {
        program[size++] = (struct sock_filter)WHEN_NOT((uint32_t)refused_calls[i], 1);
        program[size++] = (struct sock_filter)ANSWER(SECCOMP_RET_ERRNO | EPERM);
    }
    program[size++] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {.len = (unsigned short)size, .filter = program};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
        return error_errno(err, "filter of system calls");
    return true;
}

bool sandbox_rights_drop(const struct sandbox_plan *plan, struct error *err)
{
    uint64_t keep = wanted_capabilities(plan);
    /* A fresh keyring: root's own is not to be searched from here. Kernels without keyrings have nothing to
     * hide. */
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (!set_limits(plan, err) || !drop_bounding(keep, err))
        return false;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS, 0, 0, 0) != 0)
        return error_errno(err, "secure bits");
    if (!change_user(plan->uid, err) || !set_capabilities(keep, err))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_errno(err, "no_new_privs");
    return filter_calls(err);
}
