/* The core's own targets, as src/fuzzing.rs has them. */
#include <stddef.h>
#include <stdint.h>

void CORE_TARGET(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CORE_TARGET(data, size);
    return 0;
}
