/* The fields of delimited text: where they end, and what they say. Text is plain here: no quotes,
   no carriage returns, ASCII, a newline behind every record. What is not plain is told, and the
   caller reads it in another way. The hash is that of data/hash.py. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 128  /* rows: their text and the ends of their fields stay in the first cache */
#define LINE 64
#define AHEAD 16   /* texts: as long as memory takes to answer */

/* Write where each field ends, column by column: field c of row r ends at ends[c * stride + r].
   Returns the number of rows; -1 if the text is not plain, a row has another number of fields or is
   blank; -2 if there are more rows than `stride`. */
long text_fields(const char *text, long size, char separator, long fields, long stride,
                 uint32_t *ends) {
    long row = 0, field = 0, at = 0;
    uint32_t *end = ends;
#define ENDED(place)                                        \
    do {                                                    \
        if (row == stride) return -2;                       \
        *end = (uint32_t)(place);                           \
        if (text[place] == '\n') {                          \
            if (++field != fields) return -1;               \
            field = 0, end = ends + ++row;                  \
        } else {                                            \
            if (++field == fields) return -1;               \
            end += stride;                                  \
        }                                                   \
    } while (0)
#ifdef __SSE2__
    const __m128i tab = _mm_set1_epi8(separator), newline = _mm_set1_epi8('\n');
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\r');
    for (; at + 64 <= size; at += 64) {
        uint64_t found = 0;
        __m128i wrong = _mm_setzero_si128();
        for (int i = 0; i < 4; i++) {
            __m128i x = _mm_loadu_si128((const __m128i *)(text + at + 16 * i));
            __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(x, tab), _mm_cmpeq_epi8(x, newline));
            found |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << 16 * i;
            /* The highest bit is set in what is no ASCII. */
            wrong = _mm_or_si128(wrong, _mm_or_si128(x, _mm_cmpeq_epi8(x, quote)));
            wrong = _mm_or_si128(wrong, _mm_cmpeq_epi8(x, back));
        }
        if (_mm_movemask_epi8(wrong)) return -1;
        for (; found; found &= found - 1) ENDED(at + __builtin_ctzll(found));
    }
#endif
    for (; at < size; at++) {
        char x = text[at];
        if (x < 0 || x == '"' || x == '\r') return -1;
        if (x == separator || x == '\n') ENDED(at);
    }
    return field ? -1 : row;
}

#define START 0x9E3779B97F4A7C15ull
#define MISSING (~0ull)

INLINE uint64_t mix(uint64_t h, uint64_t word) {
    h ^= word;
    h ^= h >> 30, h *= 0xBF58476D1CE4E5B9ull;
    h ^= h >> 27, h *= 0x94D049BB133111EBull;
    return h ^ h >> 31;
}

INLINE uint64_t hash(const char *from, const char *to, const char *last) {
    if (from == to) return MISSING;
    uint64_t word, h = (uint64_t)(to - from) * START;
    for (; to - from >= 8; from += 8) {
        memcpy(&word, from, 8);
        h = mix(h, word);
    }
    if (from == to) return h;
    if (last - from >= 8) {
        memcpy(&word, from, 8);
        word &= ~0ull >> (64 - 8 * (to - from));
    } else {
        word = 0;
        for (int i = 0; from + i < to; i++) word |= (uint64_t)(uint8_t)from[i] << 8 * i;
    }
    return mix(h, word);
}

#define BYTES(x) (0x0101010101010101ull * (x))

/* Up to eight decimal digits, all at once (D. Lemire, "Quickly parsing eight digits", 2018). */
INLINE int short_number(const char *from, const char *to, uint64_t *value) {
    uint64_t x;
    memcpy(&x, from, 8);
    x = from < to ? (x ^ BYTES('0')) << ((64 - 8 * (to - from)) & 63) : 0;
    *value = 10 * x + (x >> 8);
    *value = ((*value & 0xFF000000FF) * (100 + (1000000ull << 32)) +
              (*value >> 16 & 0xFF000000FF) * (1 + (10000ull << 32))) >> 32;
    return !(((x + BYTES(0x76)) | x) & BYTES(0x80));
}

/* Eight hexadecimal digits, all at once: letters have bit 6, and their low bits count from 1. */
INLINE int eight_hexadecimal(const char *from, uint64_t *value) {
    uint64_t x;
    memcpy(&x, from, 8);
    uint64_t letter = x >> 6 & BYTES(1), letters = 255 * letter, low = x & BYTES(15);
    uint64_t wrong_digit = ((x & BYTES(0xF0)) ^ BYTES(0x30)) | ((low + BYTES(6)) & BYTES(16));
    uint64_t wrong_letter = ((x & BYTES(0xD0)) ^ BYTES(0x40)) | ((low + BYTES(9)) & BYTES(16)) |
                            (~(low + BYTES(15)) & BYTES(16));
    x = low + 9 * letter;
    x = (x << 4 | x >> 8) & 0xFF00FF00FF00FF;
    x = (x | x >> 8) & 0xFFFF0000FFFF;
    *value = __builtin_bswap32((uint32_t)(x | x >> 16));
    return !((wrong_digit & ~letters) | (wrong_letter & letters));
}

/* A decimal number of 15 digits or less, which one rounding of a quotient gives exactly. */
INLINE int number(const char *from, const char *to, const char *last, double *value) {
    static const double powers[] = {1,   1e1, 1e2, 1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t few;
    if (from == to) return *value = __builtin_nan(""), 1;
    if (to - from <= 8 && last - from >= 8 && short_number(from, to, &few))
        return *value = (double)few, 1;
    int negative = *from == '-';
    from += negative;
    int64_t digits = 0;
    const char *point = 0;
    if (to - from > 16 || from == to) return 0;
    for (const char *at = from; at < to; at++) {
        unsigned digit = (unsigned)(uint8_t)*at - '0';
        if (digit <= 9)
            digits = 10 * digits + digit;
        else if (*at == '.' && !point && at > from && at + 1 < to)
            point = at;
        else
            return 0;
    }
    if (to - from - (point != 0) > 15) return 0;
    *value = point ? (double)digits / powers[to - point - 1] : (double)digits;
    if (negative) *value = -*value;
    return 1;
}

/* The value of each hexadecimal digit; 16 is none. */
#define NONE 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16
#define LETTERS 16, 10, 11, 12, 13, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16
static const uint8_t digits[256] = {
    NONE, NONE, NONE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 16, 16, 16, 16, 16,
    LETTERS, NONE, LETTERS, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE};

/* An integer of 15 digits or less, -1 for none. */
INLINE int integer(const char *from, const char *to, const char *last, unsigned base,
                   int64_t *value) {
    uint64_t few;
    if (from == to) return *value = -1, 1;
    if (to - from > 15) return 0;
    if (base == 16 && to - from == 8) { /* as most hashes have */
        int plain = eight_hexadecimal(from, &few);
        return *value = (int64_t)few, plain;
    }
    if (base == 10 && to - from <= 8 && last - from >= 8) {
        int plain = short_number(from, to, &few);
        return *value = (int64_t)few, plain;
    }
    int64_t found = 0;
    unsigned wrong = 0;
    for (; from < to; from++) {
        unsigned digit = digits[(uint8_t)*from];
        wrong |= digit >= base;
        found = base * found + digit;
    }
    return *value = found, !wrong;
}

/* 1 + x modulo `size` by two products in the place of a quotient; for x below 2^32 (Lemire, Kaser
   and Kurz, 2019). `inverse` is 2^64 / size, rounded up. */
INLINE int32_t id(int64_t x, int64_t size, uint64_t inverse) {
    if (x < 0) return 0;
    if (x >> 32) return 1 + (int32_t)(x % size);
    return 1 + (int32_t)((unsigned __int128)(inverse * (uint64_t)x) * (uint64_t)size >> 64);
}

/* What is to be made of a column: a `double` (0); what a table of so many values, and one for NaN
   behind them, has for the number (2); the hash (1); or, if `size` is not 0, the id among so many
   that the hash or an integer of base 10 or 16 has: 1 + it modulo (size - 1), and 0 where there is
   no value. Told are: whether all fields could be read so; of those whose hash is asked for, the
   least and the greatest length of those that are not empty; and of numbers that are not in the
   table, how many there are, in which rows, and which. */
typedef struct {
    int64_t column, kind, size, plain, shortest, longest, others;
    void *out;
    const float *table;
    int64_t *rows;
    double *numbers;
} Job;

/* Where in a table of so many values the number of a field is, if it is short: 0, 1, ..., `size` for
   no number; more for any other. */
INLINE uint64_t place(const char *from, const char *to, const char *last, uint64_t size) {
    uint64_t few;
    if (to - from > 8 || last - from < 8 || !short_number(from, to, &few) || few >= size)
        return size + 1;
    return from < to ? few : size;
}

/* The same of a number: those below 0 are with it; -0.0 is not in the table. */
INLINE uint64_t place_of(double x, uint64_t size) {
    if (x != x) return size;
    if (x < 0) return 0;
    return x < size && (double)(uint64_t)x == x && !__builtin_signbit(x) ? (uint64_t)x : size + 1;
}

/* Read columns of the rows that `text_fields` has found. */
void read_fields(const char *text, long size, long rows, long stride, const uint32_t *ends,
                 long fields, Job *jobs, long count) {
    const char *last = text + size;
    for (long low = 0; low < rows; low += BLOCK) {
        long high = low + BLOCK < rows ? low + BLOCK : rows;
        /* Columns go through the text with strides; asked for in order it comes sooner. */
        const uint32_t *line_ends = ends + (fields - 1) * stride;
        for (long at = low ? line_ends[low - 1] : 0; at < line_ends[high - 1]; at += LINE)
            __builtin_prefetch(text + at);
        for (Job *job = jobs; job < jobs + count; job++) {
            /* A row's first field begins behind the last of the row before. */
            const uint32_t *end = ends + job->column * stride;
            const uint32_t *before = job->column ? end - stride : ends + (fields - 1) * stride - 1;
            if (!job->plain) continue;
#define EACH(what)                                                                      \
    for (long r = low; r < high; r++) {                                                 \
        const char *from = text + (column || r ? before[r] + 1 : 0), *to = text + end[r]; \
        what;                                                                           \
    }
            int plain = 1;
            /* Not read from the job again and again, lest what is written has changed it. */
            const long column = job->column;
            void *const out = job->out;
            long shortest = job->shortest, longest = job->longest;
            int64_t found = 0, modulus = job->size - 1;
            uint64_t inverse = modulus > 0 ? ~0ull / (uint64_t)modulus + 1 : 0;
            int32_t *ids = out;
            if (job->kind == 0)
                EACH(plain &= number(from, to, last, (double *)out + r))
            else if (job->kind == 2) {
                const uint64_t size = job->size;
                const float *table = job->table;
                EACH(uint64_t at = place(from, to, last, size);
                     if (at > size) {
                         double x = 0;
                         plain &= number(from, to, last, &x);
                         at = place_of(x, size);
                         if (at > size) {
                             job->rows[job->others] = r;
                             job->numbers[job->others++] = x;
                             continue;
                         }
                     }
                     ((float *)out)[r] = table[at])
            }
            else if (job->kind == 1 && !job->size)
                EACH(((uint64_t *)out)[r] = hash(from, to, last);
                     longest = to - from > longest ? to - from : longest;
                     shortest = from < to && to - from < shortest ? to - from : shortest)
            else if (job->kind == 1)
                EACH(ids[r] = from == to ? 0 : 1 + (int32_t)(hash(from, to, last) % (uint64_t)modulus))
            else if (job->kind == 16)
                EACH(plain &= integer(from, to, last, 16, &found);
                     ids[r] = id(found, modulus, inverse))
            else
                EACH(plain &= integer(from, to, last, 10, &found);
                     ids[r] = id(found, modulus, inverse))
            job->plain = plain, job->shortest = shortest, job->longest = longest;
        }
    }
}

/* Copy the texts of one column in some rows, side by side, a newline between two; `cuts` gets where
   each ends. Without `out` nothing is copied. Returns how many bytes there are. */
long join_fields(const char *text, long stride, const uint32_t *ends, long fields, long column,
                 long count, const int64_t *rows, uint32_t *cuts, char *out) {
    const uint32_t *end = ends + column * stride;
    const uint32_t *before = column ? end - stride : ends + (fields - 1) * stride - 1;
    long at = 0;
    for (long i = 0; i < count; i++) {
        long row = rows[i], from = column || row ? before[row] + 1 : 0, bytes = end[row] - from;
        if (!out) {
            cuts[i] = (uint32_t)(at + bytes);
            at += bytes + 1;
            continue;
        }
        if (i + AHEAD < count) __builtin_prefetch(text + end[rows[i + AHEAD]] - 1);
        if (i) out[at++] = '\n';
        for (; bytes >= 8; bytes -= 8, at += 8, from += 8) memcpy(out + at, text + from, 8);
        for (; bytes; bytes--) out[at++] = text[from++];
    }
    return count && !out ? at - 1 : at;
}
