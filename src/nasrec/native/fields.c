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
#define BLOCK 2048 /* rows: their text and the ends of their fields stay in the second cache */

/* Write where each field ends, column by column: field c of row r ends at ends[c * stride + r].
   Returns the number of rows; -1 if the text is not plain, a row has another number of fields, is
   blank, or there are more rows than `stride`. */
long text_fields(const char *text, long size, char separator, long fields, long stride,
                 uint32_t *ends) {
    long row = 0, field = 0, at = 0;
    uint32_t *end = ends;
#define ENDED(place)                                        \
    do {                                                    \
        if (row == stride) return -1;                       \
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

/* A decimal number of 15 digits or less, which one rounding of a quotient gives exactly. */
INLINE int number(const char *from, const char *to, double *value) {
    static const double powers[] = {1,   1e1, 1e2, 1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (from == to) return *value = __builtin_nan(""), 1;
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
INLINE int integer(const char *from, const char *to, unsigned base, int64_t *value) {
    if (from == to) return *value = -1, 1;
    if (to - from > 15) return 0;
    int64_t found = 0;
    unsigned largest = 0;
#define NEXT(at)                                 \
    do {                                         \
        unsigned digit = digits[(uint8_t)(at)];  \
        largest |= digit >= base;                \
        found = base * found + digit;            \
    } while (0)
    if (to - from == 8) { /* as most hashes have */
        for (int i = 0; i < 8; i++) NEXT(from[i]);
    } else {
        for (; from < to; from++) NEXT(*from);
    }
    return *value = found, !largest;
}

/* What is to be made of a column: a `double` (0); the hash (1); or, if `size` is not 0, the id
   among so many that the hash or an integer of base 10 or 16 has: 1 + it modulo (size - 1), and 0
   where there is no value. */
typedef struct {
    int64_t column, kind, size, plain; /* plain: whether all fields could be read so */
    void *out;
} Job;

/* Read columns of the rows that `text_fields` has found. */
void read_fields(const char *text, long size, long rows, long stride, const uint32_t *ends,
                 long fields, Job *jobs, long count) {
    const char *last = text + size;
    for (long low = 0; low < rows; low += BLOCK) {
        long high = low + BLOCK < rows ? low + BLOCK : rows;
        for (Job *job = jobs; job < jobs + count; job++) {
            /* A row's first field begins behind the last of the row before. */
            const uint32_t *end = ends + job->column * stride;
            const uint32_t *before = job->column ? end - stride : ends + (fields - 1) * stride - 1;
            if (!job->plain) continue;
#define EACH(what)                                                                      \
    for (long r = low; r < high; r++) {                                                 \
        const char *from = text + (job->column || r ? before[r] + 1 : 0), *to = text + end[r]; \
        what;                                                                           \
    }
            int plain = 1;
            int64_t found = 0, modulus = job->size - 1;
            int32_t *ids = job->out;
            if (job->kind == 0)
                EACH(plain &= number(from, to, (double *)job->out + r))
            else if (job->kind == 1 && !job->size)
                EACH(((uint64_t *)job->out)[r] = hash(from, to, last))
            else if (job->kind == 1)
                EACH(ids[r] = from == to ? 0 : 1 + (int32_t)(hash(from, to, last) % (uint64_t)modulus))
            else if (job->kind == 16)
                EACH(plain &= integer(from, to, 16, &found);
                     ids[r] = found < 0 ? 0 : 1 + (int32_t)(found % modulus))
            else
                EACH(plain &= integer(from, to, 10, &found);
                     ids[r] = found < 0 ? 0 : 1 + (int32_t)(found % modulus))
            job->plain = plain;
        }
    }
}

/* Copy pieces of a text, one after the other, a newline between two. */
void join_texts(const char *text, long count, const int64_t *begins, const int64_t *stops,
                char *out) {
    for (long i = 0; i < count; i++) {
        if (i) *out++ = '\n';
        memcpy(out, text + begins[i], stops[i] - begins[i]);
        out += stops[i] - begins[i];
    }
}

/* Number distinct hashes in the order in which they come: `places` gets the number of each of the
   n, `rows` where each is first. Returns how many there are; -1 without memory. */
long distinct_hashes(long n, const uint64_t *hashes, uint32_t *places, int64_t *rows) {
    long size = 1 << 10, count = 0;
    uint32_t *table = calloc(size, sizeof(uint32_t)); /* 1 more than the number; 0 is free */
    if (!table) return -1;
    for (long i = 0; i < n; i++) {
        uint64_t key = hashes[i], at = key & (size - 1);
        while (table[at] && hashes[rows[table[at] - 1]] != key) at = (at + 1) & (size - 1);
        if (!table[at]) {
            rows[count] = i;
            table[at] = (uint32_t)++count;
        }
        places[i] = table[at] - 1;
        if (2 * count <= size) continue;
        free(table);
        size *= 4;
        if (!(table = calloc(size, sizeof(uint32_t)))) return -1;
        for (long j = 0; j < count; j++) {
            for (at = hashes[rows[j]] & (size - 1); table[at]; at = (at + 1) & (size - 1)) {}
            table[at] = (uint32_t)(j + 1);
        }
    }
    free(table);
    return count;
}
