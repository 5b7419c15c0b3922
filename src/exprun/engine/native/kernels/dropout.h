/* Inverted dropout; masks are a function of seed, layer, iteration, row and unit.

   The random words are those of Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): a
   counter-based generator, which needs no state. The key is the seed; the counter is (row, unit / 4, layer, iteration),
   and unit % 4 picks one of the four words. A unit is kept if its word is below (1 - p) 2³². */
#ifndef EXPRUN_DROPOUT_H
#define EXPRUN_DROPOUT_H

#include "functions.h"

INLINE void philox(uint32_t c[4], uint32_t key0, uint32_t key1)
{
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const uint64_t even = (uint64_t)c[0] * 0xD2511F53u, odd = (uint64_t)c[2] * 0xCD9E8D57u;
        const uint32_t c0 = (uint32_t)(odd >> 32) ^ c[1] ^ key0, c2 = (uint32_t)(even >> 32) ^ c[3] ^ key1;
        c[0] = c0;
        c[1] = (uint32_t)odd;
        c[2] = c2;
        c[3] = (uint32_t)even;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* mask (units, ld): 1/(1-p) where a unit is kept and 0 elsewhere; units u0 … u1, columns r0 … r1. */
static void draw_mask(float *mask, long ld, long u0, long u1, long r0, long r1, double p, uint64_t seed, long layer,
                      int64_t iteration)
{
    const double kept = 1.0 - p;
    const float factor = (float)(1.0 / kept);
    const uint32_t bound = (uint32_t)(kept * 4294967296.0 < 4294967295.0 ? kept * 4294967296.0 : 4294967295.0);
    for (long first = u0 / 4 * 4; first < u1; first += 4)
        for (long base = r0; base < r1; base += LANES) {
            float kept4[4][LANES];
            for (long lane = 0; lane < LANES; lane++) {
                uint32_t c[4] = {(uint32_t)(base + lane), (uint32_t)(first / 4), (uint32_t)layer, (uint32_t)iteration};
                philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
                for (int word = 0; word < 4; word++) kept4[word][lane] = c[word] < bound ? factor : 0.0f;
            }
            for (int word = 0; word < 4; word++)
                if (first + word >= u0 && first + word < u1)
                    memcpy(mask + (first + word) * ld + base, kept4[word], sizeof kept4[word]);
        }
}

/* x *= factors, both (units, ld). */
static void multiply(float *x, const float *factors, long ld, long u0, long u1, long r0, long r1)
{
    for (long u = u0; u < u1; u++) {
        float *restrict a = x + u * ld;
        const float *restrict b = factors + u * ld;
        for (long r = r0; r < r1; r++) a[r] *= b[r];
    }
}

#endif
