/* C = A B (+ bias): each element is one chain of fused multiply-adds over k, in order, starting at the bias.

   Each lane of a register holds another element of C; no element's sum is split. So its bits depend only on
   its row of A, its column of B and its bias. */
#ifndef EXPRUN_PRODUCTS_H
#define EXPRUN_PRODUCTS_H

#include "vector.h"

enum { CACHED_NUMBERS = 1 << 17 }; /* numbers of B in a block that is used for all rows of A before the next */

/* Compute m rows of C, `vectors` registers wide; element (i, k) of A is a[i * ai + k * ak]. */
INLINE void tile(const int m, const int vectors, long depth, const float *a, long ai, long ak, const float *b,
                 long ldb, float *c, long ldc, const float *bias)
{
    vec sums[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[i][v] = vec_all(bias ? bias[i] : 0.0f);
    for (long k = 0; k < depth; k++) {
        vec column[TILE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = vec_load(b + v * WIDTH);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            vec number = vec_all(a[i * ai]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[i][v] = vec_fma(number, column[v], sums[i][v]);
        }
        a += ak;
        b += ldb;
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) vec_store(c + i * ldc + v * WIDTH, sums[i][v]);
}

/* `tile` for any number of rows up to TILE_ROWS: a constant m in each case keeps the sums in registers. */
static void tile_rows(int m, int full, long depth, const float *a, long ai, long ak, const float *b, long ldb,
                      float *c, long ldc, const float *bias)
{
#define ROWS(count)                                                                     \
    case count:                                                                         \
        if (full) tile(count, TILE_VECTORS, depth, a, ai, ak, b, ldb, c, ldc, bias);    \
        else tile(count, 1, depth, a, ai, ak, b, ldb, c, ldc, bias);                    \
        break;
    switch (m) {
        ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
#if defined(__AVX512F__)
        ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
#endif
    }
#undef ROWS
}

/* C (m, n) from A (m, depth) and B (depth, n); bias (m,) or NULL.

   B must be readable, and C writable, up to the next multiple of WIDTH columns. Rows of C may be
   contiguous (ldc = n): columns are computed from right to left and rows from top to bottom, so numbers
   that the last register of a row writes beyond its end are overwritten afterwards. */
static void product(long m, long n, long depth, const float *a, long ai, long ak, const float *b,
                    long ldb, float *c, long ldc, const float *bias)
{
    const long panel = TILE_VECTORS * WIDTH;
    const long tiles = (m + TILE_ROWS - 1) / TILE_ROWS;
    const int small = m / tiles, larger_ones = m % tiles; /* tiles of nearly equal size */
    const long most = CACHED_NUMBERS / panel / depth * panel, cached = most > panel ? most : panel;
    for (long right = n; right > 0;) {
        const long left = right > cached ? (right - 1) / cached * cached : 0;
        for (long t = 0, i = 0; t < tiles; t++) {
            const int rows = small + (t < larger_ones);
            const float *row = a + i * ai, *start = bias ? bias + i : 0;
            float *to = c + i * ldc;
            long j = left + (right - left + WIDTH - 1) / WIDTH * WIDTH;
            for (; (j - left) % panel; j -= WIDTH)
                tile_rows(rows, 0, depth, row, ai, ak, b + j - WIDTH, ldb, to + j - WIDTH, ldc, start);
            for (; j > left; j -= panel)
                tile_rows(rows, 1, depth, row, ai, ak, b + j - panel, ldb, to + j - panel, ldc, start);
            i += rows;
        }
        right = left;
    }
}

/* B (columns, ldb) = Aᵀ of A (rows, lda), columns c0 … c1 of A. */
static void transpose(long rows, long c0, long c1, const float *a, long lda, float *b, long ldb)
{
    typedef float quad __attribute__((vector_size(16), aligned(4)));
    long j = c0;
    for (; j + 4 <= c1; j += 4) {
        long i = 0;
        for (; i + 4 <= rows; i += 4) {
            const float *from = a + i * lda + j;
            float *to = b + j * ldb + i;
            quad r0 = *(const quad *)from, r1 = *(const quad *)(from + lda);
            quad r2 = *(const quad *)(from + 2 * lda), r3 = *(const quad *)(from + 3 * lda);
            quad low0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), high0 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
            quad low1 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), high1 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            *(quad *)to = __builtin_shufflevector(low0, low1, 0, 1, 4, 5);
            *(quad *)(to + ldb) = __builtin_shufflevector(low0, low1, 2, 3, 6, 7);
            *(quad *)(to + 2 * ldb) = __builtin_shufflevector(high0, high1, 0, 1, 4, 5);
            *(quad *)(to + 3 * ldb) = __builtin_shufflevector(high0, high1, 2, 3, 6, 7);
        }
        for (; i < rows; i++)
            for (long k = j; k < j + 4; k++) b[k * ldb + i] = a[i * lda + k];
    }
    for (; j < c1; j++)
        for (long i = 0; i < rows; i++) b[j * ldb + i] = a[i * lda + j];
}

#endif
