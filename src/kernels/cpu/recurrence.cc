#include "kernels/cpu/cpu_kernels.h"

#define LULL_ISA_FILE "kernels/cpu/recurrence-inl.h"
#include "simd/foreach_isa.h"
