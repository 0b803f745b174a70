// Elementary functions in double precision that give the same bits on every machine: plain IEEE
// operations in a fixed order, no libm. Relative error below 1e-14 in the ranges given.
#pragma once

namespace lull::exact {

double Exp(double x);                   // |x| <= 700; clamped outside
double Log(double x);                   // x > 0, normal; 0 otherwise
double Pow(double base, double power);  // base > 0
// Requires |x| < 2^20: beyond it the reduction loses digits (still finite and deterministic).
void SinCos(double x, double* sin, double* cos);

}  // namespace lull::exact
