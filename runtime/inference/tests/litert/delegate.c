/* An external delegate for runtime.c: a number that is added, and a check that it is destroyed. */
#include <stddef.h>
#include <stdlib.h>

static int number = 3;
static int alive;
__attribute__((destructor)) static void ended(void) { if (alive != 0) abort(); }

void *tflite_plugin_create_delegate(const char *const *keys, const char *const *values, size_t count,
                                    void (*report)(const char *)) {
    (void)keys, (void)values, (void)report;
    if (count != 0) return NULL;
    alive++;
    return &number;
}
void tflite_plugin_destroy_delegate(void *delegate) { if (delegate == &number) alive--; }
