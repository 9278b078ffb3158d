/* Rows of records, in any order, as the tensors of a batch: one pass, in which a row's bytes are
   read once and its ids widened to 32 bits. What a record is: data/layout.py. */

#include <stdint.h>
#include <string.h>

#ifdef __AVX512VBMI__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define LINE 64

/* Where the fields are, in bytes from the beginning of a record. */
typedef struct {
    int64_t bytes, dense, weight, label, wide_label, slots;
    const int32_t *ids; /* of each slot three numbers: its place, its bytes, and what stands for no
                           value, or -1 */
} Layout;

/* Floats side by side, in pieces of fixed size: `memcpy` of any size costs a call. */
INLINE void floats(char *to, const char *from, long count) {
    for (; count >= 16; count -= 16, to += 64, from += 64) memcpy(to, from, 64);
    if (count & 8) memcpy(to, from, 32), to += 32, from += 32;
    if (count & 4) memcpy(to, from, 16), to += 16, from += 16;
    if (count & 2) memcpy(to, from, 8), to += 8, from += 8;
    if (count & 1) memcpy(to, from, 4);
}

INLINE void one_by_one(const Layout *layout, const char *row, int32_t *ids) {
    for (long i = 0; i < layout->slots; i++) {
        const char *from = row + layout->ids[3 * i];
        uint16_t two;
        int32_t id;
        if (layout->ids[3 * i + 1] == 1)
            id = *(const uint8_t *)from;
        else if (layout->ids[3 * i + 1] == 2)
            memcpy(&two, from, 2), id = two;
        else
            memcpy(&id, from, 4);
        int32_t pad = layout->ids[3 * i + 2];
        ids[i] = pad >= 0 && id == pad ? -1 : id;
    }
}

#ifdef __AVX512VBMI__

#define STEPS 64

/* Sixteen ids, or those of them that are within 64 bytes of a record. */
typedef struct {
    __m512i bytes, pads;    /* which byte goes where */
    __mmask64 read, keep;
    __mmask16 stored, padded;
    int32_t at, to, more;   /* more: the next step has others of the same sixteen */
} Step;

/* The steps for all ids; -1 if they are too many. */
static int planned(const Layout *layout, Step *steps) {
    int count = 0;
    for (long to = 0; to < layout->slots; to += 16) {
        long size = layout->slots - to < 16 ? layout->slots - to : 16;
        const int32_t *ids = layout->ids + 3 * to;
        uint32_t left = (1u << size) - 1;
        while (left) {
            if (count == STEPS) return -1;
            Step *step = steps + count++;
            int32_t pads[16] = {0}, at = INT32_MAX;
            uint8_t bytes[64] = {0};
            step->keep = step->padded = 0;
            for (long i = 0; i < size; i++)
                if (left >> i & 1 && ids[3 * i] < at) at = ids[3 * i];
            long end = layout->bytes - at < 64 ? layout->bytes - at : 64;
            for (long i = 0; i < size; i++) {
                long from = ids[3 * i] - at, width = ids[3 * i + 1];
                if (ids[3 * i + 2] >= 0) pads[i] = ids[3 * i + 2], step->padded |= 1u << i;
                if (!(left >> i & 1) || from + width > end) continue;
                left &= ~(1u << i);
                for (long b = 0; b < width; b++) bytes[4 * i + b] = (uint8_t)(from + b);
                step->keep |= ((1ull << width) - 1) << 4 * i;
            }
            step->at = at, step->to = (int32_t)to, step->more = left != 0;
            step->read = end == 64 ? ~0ull : (1ull << end) - 1;
            step->stored = (__mmask16)((1u << size) - 1);
            step->bytes = _mm512_loadu_si512(bytes), step->pads = _mm512_loadu_si512(pads);
        }
    }
    return count;
}

INLINE void in_steps(const Step *steps, int count, const char *row, int32_t *ids) {
    __m512i found = _mm512_setzero_si512();
    for (int i = 0; i < count; i++) {
        const Step *step = steps + i;
        __m512i from = _mm512_maskz_loadu_epi8(step->read, row + step->at);
        found = _mm512_or_si512(found, _mm512_maskz_permutexvar_epi8(step->keep, step->bytes, from));
        if (step->more) continue;
        if (step->padded) {
            __mmask16 none = _mm512_mask_cmpeq_epi32_mask(step->padded, found, step->pads);
            found = _mm512_mask_mov_epi32(found, none, _mm512_set1_epi32(-1));
        }
        _mm512_mask_storeu_epi32(ids + step->to, step->stored, found);
        found = _mm512_setzero_si512();
    }
}
#endif

/* Ask for the bytes of a row, to be near when they are needed. */
INLINE void wanted(const char *row, long bytes) {
    const char *line = (const char *)((uintptr_t)row & ~(uintptr_t)(LINE - 1));
    for (; line < row + bytes; line += LINE) __builtin_prefetch(line);
}

/* Args: the layout; where rows are: shards, each of 1 << shift rows; how many rows to take; which
   ones, or 0 for those from `first` on; of how many rows ahead to ask for the bytes, or 0 where
   all are near; and where the batch goes. */
void nasrec_rows(const Layout *layout, const char *const *shards, int shift, long n, long first,
                 const int64_t *order, int ahead, char *dense, int32_t *sparse, float *labels,
                 float *weights) {
    const long bytes = layout->bytes, mask = (1L << shift) - 1;
#define ROW(i) (shards[(i) >> shift] + ((i) & mask) * bytes)
#ifdef __AVX512VBMI__
    Step steps[STEPS];
    int count = planned(layout, steps);
#endif
    for (long r = 0; r < n; r++) {
        const char *row = order ? ROW(order[r]) : ROW(first + r);
        if (ahead && r + ahead < n) wanted(ROW(order[r + ahead]), bytes);
        floats(dense + 4 * r * layout->dense, row, layout->dense);
#ifdef __AVX512VBMI__
        if (count >= 0)
            in_steps(steps, count, row, sparse + r * layout->slots);
        else
#endif
            one_by_one(layout, row, sparse + r * layout->slots);
        if (layout->wide_label)
            memcpy(labels + r, row + layout->label, 4);
        else
            labels[r] = (float)*(const uint8_t *)(row + layout->label);
        if (weights) memcpy(weights + r, row + layout->weight, 4);
    }
}
