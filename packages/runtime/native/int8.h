/* The two products that ONNX Runtime makes of dynamic int8, u8 rows by constant s8 columns, on a unit.
 *
 * MatMulIntegerToFloat takes rows that were quantised before it; DynamicQuantizeMatMul quantises them itself, with
 * one scale and zero point for the whole tensor (ONNX's DynamicQuantizeLinear). Sums of integers are exact, and the
 * few operations on floats are ONNX Runtime's in its order: the results are the same bits on every unit. */

#ifndef INT8_H
#define INT8_H

#include <math.h>

#include "amx.h"

typedef struct Unit Unit;

typedef struct {
    const Unit *unit;
    size_t depth, columns, steps, panels; /* steps: of the unit's depth; panels: of 32 columns */
    int8_t *values; /* [panels][steps], as the unit reads them */
    int32_t *sums;  /* of a column's values; [columns] in whole blocks, as all below */
    float *scales;
    float *biases; /* NULL when there is none */
    int zeros;     /* whether zero points of the columns were given; they are 0 */
} Weights;

typedef struct {
    const Weights *weights;
    const void *input; /* [rows][depth], float or u8 */
    float *output;     /* [rows][columns] */
    size_t rows;
    void *operand;   /* the input as the unit reads it */
    float *extremes; /* least and largest value of every 32 rows */
    float scale;
    int32_t zero;
} Product;

/* What computes a product, part by part: on 32 rows each, and `multiply` in as many tasks as `tasks` says. */
struct Unit {
    size_t depth;                                          /* of a step */
    size_t (*operand_size)(const Product *product);        /* bytes */
    void (*arrange)(Weights *weights, const int8_t *from); /* reads [depth][columns] once: they may lie in a file */
    void (*find_extremes)(void *product, size_t block);
    void (*quantise_rows)(void *product, size_t block);
    void (*copy_rows)(void *product, size_t block);
    size_t (*tasks)(const Product *product);
    void (*multiply)(void *product, size_t task);
};

extern const Unit matrix_unit, vector_unit;

#endif
