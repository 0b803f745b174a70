// How much of the machine others used meanwhile: figures taken beside a build are worth little.
#pragma once

#include <cstdint>
#include <string>

namespace lull {

// CPU time of the whole machine and of this process since the object was made or Restart.
class NoiseMeter {
 public:
  NoiseMeter() { Restart(); }
  void Restart();
  // CPUs busy with other processes or taken by the host, e.g. 0.3 of the 2 there are.
  double OtherCpus() const;

 private:
  int64_t begin_ns_ = 0, begin_own_ns_ = 0;
  double begin_busy_s_ = 0;
};

// "0.31 0.25 0.20": over 1, 5 and 15 minutes; empty where the system does not say.
std::string LoadAverages();

}  // namespace lull
