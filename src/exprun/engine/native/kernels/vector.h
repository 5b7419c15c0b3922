/* A vector register of WIDTH floats, and the operations that a matrix product needs. */
#ifndef EXPRUN_VECTOR_H
#define EXPRUN_VECTOR_H

/* TILE_ROWS × TILE_VECTORS registers hold the partial sums of a product's tile. */
#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512 vec;
enum { WIDTH = 16, TILE_ROWS = 12, TILE_VECTORS = 2 };
#define vec_load(p) _mm512_loadu_ps(p)
#define vec_store(p, v) _mm512_storeu_ps(p, v)
#define vec_all(x) _mm512_set1_ps(x)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c) /* a b + c, rounded once */
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
typedef __m256 vec;
enum { WIDTH = 8, TILE_ROWS = 6, TILE_VECTORS = 2 };
#define vec_load(p) _mm256_loadu_ps(p)
#define vec_store(p, v) _mm256_storeu_ps(p, v)
#define vec_all(x) _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#elif defined(__aarch64__)
#include <arm_neon.h>
typedef float32x4_t vec;
enum { WIDTH = 4, TILE_ROWS = 6, TILE_VECTORS = 4 };
#define vec_load(p) vld1q_f32(p)
#define vec_store(p, v) vst1q_f32(p, v)
#define vec_all(x) vdupq_n_f32(x)
#define vec_fma(a, b, c) vfmaq_f32(c, a, b)
#else
#error "no fused multiply-add for vectors"
#endif

#define INLINE static inline __attribute__((always_inline))

#endif
