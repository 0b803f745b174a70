#include "kernels/cpu/cpu_kernels.h"

#define LULL_ISA_FILE "kernels/cpu/quantize_row-inl.h"
#include "simd/foreach_isa.h"
