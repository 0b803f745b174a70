#include "base/os/process.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/os.h"

namespace lull::os {
namespace {

constexpr int64_t kMs = 1'000'000;

void BurnFor(int64_t cpu_ns) {
  volatile uint64_t x = 0;
  for (const int64_t end = ThreadCpuNs() + cpu_ns; ThreadCpuNs() < end;) x = x + 1;
}

TEST(Process, MetersOfThisProcess) {
  ASSERT_TRUE(PeakRssBytesOf(ProcessId()).ok());
  EXPECT_GT(*PeakRssBytesOf(ProcessId()), 1 << 20);
  EXPECT_EQ(*CpusOf(ProcessId()), AvailableCpus());
  const MachineTimes times = ReadMachineTimes();
  EXPECT_GT(times.total_ns, 0);
  EXPECT_GE(times.total_ns, times.busy_ns);
  EXPECT_GE(times.busy_ns, times.steal_ns);
}

TEST(Process, GoneProcessIsAnError) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(PeakRssBytesOf(child).ok());
  EXPECT_FALSE(CpusOf(child).ok());
  EXPECT_FALSE(CpuSampler::Start(child, {10 * kMs, 100}).ok());
}

TEST(Process, FindsTheListenerOfAPort) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int port = ntohs(address.sin_port);
  EXPECT_EQ(PidListeningOn(port).error().code, ErrorCode::kNotFound);
  ASSERT_EQ(listen(fd, 1), 0);
  const Result<int> pid = PidListeningOn(port);
  ASSERT_TRUE(pid.ok()) << pid.status().ToString();
  EXPECT_EQ(*pid, ProcessId());
  close(fd);
}

TEST(CpuSampler, SeesWhatTheProcessSpent) {
  auto sampler = CpuSampler::Start(ProcessId(), {5 * kMs, 1000});
  ASSERT_TRUE(sampler.ok()) << sampler.status().ToString();
  const int64_t start = MonotonicNs(), cpu_start = ProcessCpuNs();
  BurnFor(100 * kMs);
  SleepUntilNs(MonotonicNs() + 100 * kMs);
  const int64_t wall = MonotonicNs() - start, cpu = ProcessCpuNs() - cpu_start;
  (*sampler)->Stop();
  const std::vector<CpuSample> samples = (*sampler)->samples();
  ASSERT_GE(samples.size(), 10u);
  EXPECT_LE(samples.size(), static_cast<size_t>(wall / (5 * kMs) + 2));
  for (size_t i = 1; i < samples.size(); ++i) {
    EXPECT_GT(samples[i].monotonic_ns, samples[i - 1].monotonic_ns);
    EXPECT_GE(samples[i].cpu_ns, samples[i - 1].cpu_ns);
  }
  const double seen = static_cast<double>(samples.back().cpu_ns - samples.front().cpu_ns);
  EXPECT_NEAR(seen, static_cast<double>(cpu), 20.0 * kMs);
  EXPECT_FALSE((*sampler)->target_gone());
}

TEST(CpuSampler, EndsWithTheProcessItSamples) {
  const pid_t child = fork();
  if (child == 0) {
    SleepUntilNs(MonotonicNs() + 50 * kMs);
    _exit(0);
  }
  auto sampler = CpuSampler::Start(child, {5 * kMs, 1000});
  ASSERT_TRUE(sampler.ok());
  waitpid(child, nullptr, 0);
  for (int i = 0; i < 200 && !(*sampler)->target_gone(); ++i)
    SleepUntilNs(MonotonicNs() + 10 * kMs);
  EXPECT_TRUE((*sampler)->target_gone());
}

// What a server leaves to its children is still its own, also once they have ended.
TEST(CpuSampler, CountsDescendantsAndTheirMemory) {
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      BurnFor(200 * kMs);
      SleepUntilNs(MonotonicNs() + 300 * kMs);
      _exit(0);
    }
    waitpid(grandchild, nullptr, 0);
    SleepUntilNs(MonotonicNs() + 10'000 * kMs);
    _exit(0);
  }
  auto sampler = CpuSampler::Start(child, {10 * kMs, 2000, 20 * kMs});
  ASSERT_TRUE(sampler.ok()) << sampler.status().ToString();
  int64_t seen = 0;
  for (int i = 0; i < 500 && seen < 195 * kMs; ++i) {
    SleepUntilNs(MonotonicNs() + 10 * kMs);
    const std::vector<CpuSample> samples = (*sampler)->samples();
    if (!samples.empty()) seen = samples.back().cpu_ns;
  }
  SleepUntilNs(MonotonicNs() + 400 * kMs);
  (*sampler)->Stop();
  EXPECT_GE((*sampler)->samples().back().cpu_ns, 195 * kMs);
  EXPECT_GT((*sampler)->peak_pss_bytes(), 50'000);
  EXPECT_FALSE((*sampler)->target_gone());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(CpuSampler, StopsAtItsCapacity) {
  auto sampler = CpuSampler::Start(ProcessId(), {kMs, 5});
  ASSERT_TRUE(sampler.ok());
  SleepUntilNs(MonotonicNs() + 50 * kMs);
  (*sampler)->Stop();
  EXPECT_EQ((*sampler)->samples().size(), 5u);
  EXPECT_FALSE(CpuSampler::Start(ProcessId(), {0, 5}).ok());
  EXPECT_FALSE(CpuSampler::Start(ProcessId(), {kMs, 0}).ok());
}

}  // namespace
}  // namespace lull::os
