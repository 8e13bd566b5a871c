/* A library that speaks TensorFlow Lite's C API, for tests of what calls it: no build of the real one exports that API
   where tests run. Its "model" is a file of the right kind whose ninth byte is a factor; it takes 4 bytes, and gives each
   times the factor. A delegate is a pointer to a number that is added. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const unsigned char *bytes; size_t size; } Model;
typedef struct { int *delegate; int threads; } Options;
typedef struct { unsigned char values[4]; } Tensor;
typedef struct { const Model *model; int *delegate; Tensor in, out; int allocated; } Interpreter;

static int alive;
__attribute__((destructor)) static void ended(void) { if (alive != 0) abort(); }

const char *TfLiteVersion(void) { return "test 1"; }
Model *TfLiteModelCreate(const void *bytes, size_t size) {
    if (size < 9) return NULL;
    Model *model = malloc(sizeof *model);
    model->bytes = bytes;
    model->size = size;
    alive++;
    return model;
}
void TfLiteModelDelete(Model *model) { free(model); alive--; }
Options *TfLiteInterpreterOptionsCreate(void) { alive++; return calloc(1, sizeof(Options)); }
void TfLiteInterpreterOptionsSetNumThreads(Options *options, int32_t threads) { options->threads = threads; }
void TfLiteInterpreterOptionsAddDelegate(Options *options, void *delegate) { options->delegate = delegate; }
void TfLiteInterpreterOptionsDelete(Options *options) { free(options); alive--; }
Interpreter *TfLiteInterpreterCreate(const Model *model, const Options *options) {
    if (options->threads != 1 || model->bytes[8] == 255) return NULL;
    Interpreter *made = calloc(1, sizeof *made);
    made->model = model;
    made->delegate = options->delegate;
    alive++;
    return made;
}
int TfLiteInterpreterAllocateTensors(Interpreter *it) { it->allocated = 1; return it->model->bytes[8] == 254; }
int TfLiteInterpreterInvoke(Interpreter *it) {
    if (!it->allocated || it->in.values[0] == 99) return 1;
    for (int at = 0; at < 4; at++) {
        it->out.values[at] = it->in.values[at] * it->model->bytes[8] + (it->delegate ? *it->delegate : 0);
    }
    return 0;
}
void TfLiteInterpreterDelete(Interpreter *it) { free(it); alive--; }
int32_t TfLiteInterpreterGetInputTensorCount(const Interpreter *it) { (void)it; return 1; }
int32_t TfLiteInterpreterGetOutputTensorCount(const Interpreter *it) { (void)it; return 1; }
Tensor *TfLiteInterpreterGetInputTensor(const Interpreter *it, int32_t at) { return at ? NULL : (Tensor *)&it->in; }
const Tensor *TfLiteInterpreterGetOutputTensor(const Interpreter *it, int32_t at) { return at ? NULL : &it->out; }
int TfLiteTensorType(const Tensor *tensor) { (void)tensor; return 3; }
int32_t TfLiteTensorNumDims(const Tensor *tensor) { (void)tensor; return 2; }
int32_t TfLiteTensorDim(const Tensor *tensor, int32_t at) { (void)tensor; return at ? 4 : 1; }
size_t TfLiteTensorByteSize(const Tensor *tensor) { return sizeof tensor->values; }
int TfLiteTensorCopyFromBuffer(Tensor *tensor, const void *bytes, size_t size) {
    if (size != sizeof tensor->values) return 1;
    memcpy(tensor->values, bytes, size);
    return 0;
}
int TfLiteTensorCopyToBuffer(const Tensor *tensor, void *bytes, size_t size) {
    if (size != sizeof tensor->values) return 1;
    memcpy(bytes, tensor->values, size);
    return 0;
}
