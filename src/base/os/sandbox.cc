#include "base/os/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

namespace lull::os {
namespace {

constexpr int kRefused[] = {
    // other programs and processes
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
    SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal), SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(tkill), SCMP_SYS(personality),
    // file systems and namespaces
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(move_mount), SCMP_SYS(mount_setattr),
    SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
    SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(mknod),
    SCMP_SYS(mknodat), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(quotactl), SCMP_SYS(acct),
    SCMP_SYS(name_to_handle_at), SCMP_SYS(open_by_handle_at),
    // the kernel itself
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(init_module), SCMP_SYS(finit_module),
    SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot),
    SCMP_SYS(syslog), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt),
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(lookup_dcookie),
    SCMP_SYS(vhangup), SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex),
    // other users' rights
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid),
    SCMP_SYS(capset)};

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Filter = std::unique_ptr<void, Release>;

int Refuse(void* filter, int call, int error = EPERM) {
  return seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, 0);
}

int RefuseWhere(void* filter, int call, scmp_arg_cmp condition) {
  return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, condition);
}

// No packets made by hand, and of the terminal it may run in no keys pressed. The kernel reads 32
// bits of these arguments: more must not make them others.
int RefuseRawSocketsAndKeys(void* filter) {
  constexpr scmp_datum_t kTypeMask = 0xF;  // beside it SOCK_CLOEXEC and SOCK_NONBLOCK
  int rc = 0;
  for (const int type : {SOCK_RAW, SOCK_RDM, SOCK_DCCP, SOCK_PACKET})
    if (rc == 0)
      rc = RefuseWhere(filter, SCMP_SYS(socket),
                       SCMP_A1(SCMP_CMP_MASKED_EQ, kTypeMask, static_cast<scmp_datum_t>(type)));
  for (const unsigned request : {TIOCSTI, TIOCLINUX})
    if (rc == 0)
      rc = RefuseWhere(filter, SCMP_SYS(ioctl),
                       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, static_cast<scmp_datum_t>(request)));
  return rc;
}

int AddRules(void* filter) {
  constexpr scmp_datum_t kBoth = PROT_WRITE | PROT_EXEC;
  const auto self = static_cast<scmp_datum_t>(getpid());
  int rc = 0;
  for (const int call : kRefused)
    if (rc == 0 && call >= 0) rc = Refuse(filter, call);  // negative: none of this architecture
  // A filter cannot read clone3's arguments; the C library takes clone where it is missing.
  if (rc == 0) rc = Refuse(filter, SCMP_SYS(clone3), ENOSYS);
  if (rc == 0)
    rc = RefuseWhere(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
  if (rc == 0) rc = RefuseWhere(filter, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_NE, self));
  if (rc == 0) rc = RefuseWhere(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_NE, self));
  if (rc == 0) rc = RefuseWhere(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_GT, AF_INET6));
  if (rc == 0) rc = RefuseRawSocketsAndKeys(filter);
  if (rc == 0) rc = RefuseWhere(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, kBoth, kBoth));
  // What was written must not become code by a second call. Libraries are mapped as code at once.
  for (const int call : {SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect)})
    if (rc == 0) rc = RefuseWhere(filter, call, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
  return rc;
}

}  // namespace

Status EnterSandbox() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW));
  if (filter == nullptr)
    return Status(ErrorCode::kOutOfMemory, "no memory for a filter", "sandbox");
  int rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (rc == 0) rc = AddRules(filter.get());
  if (rc == 0) rc = seccomp_load(filter.get());
  if (rc != 0)
    return Status(ErrorCode::kUnsupported,
                  std::string("the kernel refuses a filter of system calls: ") + strerror(-rc),
                  "sandbox", "--no-sandbox does without");
  return Status();
}

}  // namespace lull::os
