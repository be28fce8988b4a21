/* A libnvidia-ml.so.1 without a driver. The scenario is named by the environment variable FAKE_NVML:
 *   one_gpu          one Ampere card, busy, with one process (pid from FAKE_NVML_PID)
 *   lost_gpu         two cards, the second has fallen off the bus
 *   not_supported    one Turing card that reports neither power nor temperature nor utilisation
 *   pascal           one Tesla P4
 *   not_loaded       the library is there, the driver is not loaded
 *   mismatch         the driver was upgraded while loaded
 *   eight_live       eight Ampere cards whose values move every second
 *   eight_hung       the same, the last of which answers no call until the scenario changes
 *   eight_still      the same, standing still
 *   eight_p4         eight idle Pascal cards of 8 GB
 *   none             a loaded driver that lists no GPU
 *   no_permission    this user may not see the GPUs
 *   slow_init        the driver takes its time to open, until the scenario changes
 *   two              two Ampere cards, busy
 *   hung_gpu         of two, the second answers no call until the scenario changes
 *   denied_gpu       of two, the second belongs to somebody else
 *   xid_lost         of two, the second reports Xid 79 and has fallen off the bus
 *   bad_memory       one Ampere card with a memory row that waits to be replaced
 *   mig              one A100 cut into two instances; the process computes on the first
 *   cards:NAME,MAJOR,MINOR,MIB;NAME,...   idle cards of any kind
 * FAKE_NVML_FILE names a file that holds the scenario instead, so that it can change while the driver is in use.
 * FAKE_NVML_CUDA is the CUDA version of the driver as it writes it (12080 for 12.8); unset, it does not answer.
 * Compiled with -DOLD_DRIVER it lacks the calls that drivers before 510 lack; with -DDRIVER_470 as well it still tells processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, NOT_LOADED = 9, TIMEOUT = 10,
    GPU_IS_LOST = 15, MISMATCH = 18
};

typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } process_t;

static const unsigned long long MIB = 1024ULL * 1024ULL;

typedef struct {
    unsigned int processors, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long mib;
} attributes_t;
typedef struct {
    char legacy[16];
    unsigned int domain, bus, device, id, subsystem;
    char text[32];
} pci_t;
typedef struct {
    void *device;
    unsigned long long type, data;
    unsigned int gpu_instance, compute_instance;
} event_t;

static int is(const char *scenario) {
    const char *path = getenv("FAKE_NVML_FILE");
    if (!path) {
        const char *wanted = getenv("FAKE_NVML");
        return wanted && strcmp(wanted, scenario) == 0;
    }
    char wanted[64] = "";
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int found = fscanf(file, "%63s", wanted) == 1 && strcmp(wanted, scenario) == 0;
    fclose(file);
    return found;
}

static int has_two(void) {
    return is("two") || is("hung_gpu") || is("denied_gpu") || is("xid_lost") || is("lost_gpu");
}

/* A number below 20 that is another one every second, and for each card. */
static unsigned int wobble(void *device) {
    return is("eight_live") || is("eight_hung") ? (unsigned int)((size_t)time(NULL) * 7 + (size_t)device * 5) % 20 : 0;
}

static void wait_while(const char *scenario) {
    while (is(scenario)) usleep(20000);
}

static int are_eight(void) {
    return is("eight_live") || is("eight_hung") || is("eight_still") || is("eight_p4");
}

static int is_pascal(void) { return is("pascal") || is("eight_p4"); }

/* A handle is the index plus one, so that it is never a null pointer. */
static size_t index_of(void *device) { return (size_t)device - 1; }
/* The instances of the first card have handles from here on. */
enum { FIRST_INSTANCE = 100 };
static int is_instance(void *device) { return (size_t)device >= FIRST_INSTANCE; }

/* One of the cards of a scenario that lists them; returns 0 where there is no card of this index. */
typedef struct { char name[64]; int major, minor; unsigned long long mib; } card_t;
static int read_card(size_t index, card_t *card) {
    const char *text = getenv("FAKE_NVML");
    if (!text || strncmp(text, "cards:", 6) != 0) return 0;
    text += 6;
    for (size_t skipped = 0; skipped < index; skipped++) {
        text = strchr(text, ';');
        if (!text) return 0;
        text++;
    }
    return sscanf(text, "%63[^,],%d,%d,%llu", card->name, &card->major, &card->minor, &card->mib) == 4;
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "550.54.15");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    const char *text = getenv("FAKE_NVML_CUDA");
    if (!text) return NOT_SUPPORTED;
    *version = atoi(text);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    wait_while("slow_init");
    if (is("no_permission")) return NO_PERMISSION;
    if (is("not_loaded")) return NOT_LOADED;
    return is("mismatch") ? MISMATCH : SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "an error of the fake driver"; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    card_t card;
    for (*count = 0; read_card(*count, &card);) ++*count;
    if (*count) return SUCCESS;
    *count = is("none") ? 0 : has_two() ? 2 : are_eight() ? 8 : 1;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index == 1 && (is("lost_gpu") || is("xid_lost"))) return GPU_IS_LOST;
    if (index == 1 && is("denied_gpu")) return NO_PERMISSION;
    *device = (void *)(size_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    card_t card;
    if (read_card(index_of(device), &card)) {
        snprintf(name, length, "%s", card.name);
        return SUCCESS;
    }
    snprintf(name, length, "%s",
             is("not_supported") ? "NVIDIA GeForce RTX 2080 Ti" : is("mig") ? "NVIDIA A100-SXM4-40GB" : is_pascal() ? "Tesla P4" : "NVIDIA GeForce RTX 3090");
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    if (is_instance(device)) {
        snprintf(uuid, length, "MIG-00000000-0000-0000-0000-%012zu", (size_t)device - FIRST_INSTANCE);
        return SUCCESS;
    }
    snprintf(uuid, length, "GPU-00000000-0000-0000-0000-%012zu", index_of(device));
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    card_t card;
    if (read_card(index_of(device), &card)) {
        *major = card.major;
        *minor = card.minor;
        return SUCCESS;
    }
    *major = is("not_supported") ? 7 : is_pascal() ? 6 : 8;
    *minor = is("not_supported") ? 5 : is_pascal() ? 1 : 6;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *load) {
    if (index_of(device) == 1) wait_while("hung_gpu");
    if (index_of(device) == 7) wait_while("eight_hung");
    if (is("not_supported") || is("mig")) return NOT_SUPPORTED;
    load->gpu = 97 - wobble(device);
    load->memory = 40;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    card_t card;
    if (read_card(index_of(device), &card)) {
        *memory = (memory_t){card.mib * MIB, card.mib * MIB, 0};
        return SUCCESS;
    }
    memory->total = (is("eight_p4") ? 7680 : 24576) * MIB;
    memory->used = (is("eight_p4") ? 70 : 5194) * MIB;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) {
    *milliwatts = 250500 + 1000 * wobble(device);
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned int *milliwatts) {
    (void)device;
    *milliwatts = 350000;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned int *celsius) {
    (void)sensor;
    *celsius = 71 + wobble(device) / 2;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetClockInfo(void *device, int kind, unsigned int *mhz) {
    (void)device;
    *mhz = kind == 1 ? 1395 : 9501;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned int *mhz) {
    (void)device;
    *mhz = kind == 1 ? 2100 : 9751;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetCurrPcieLinkGeneration(void *device, unsigned int *generation) {
    (void)device;
    *generation = 1;
    return SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned int *generation) {
    (void)device;
    *generation = 4;
    return SUCCESS;
}

int nvmlDeviceGetCurrPcieLinkWidth(void *device, unsigned int *lanes) {
    (void)device;
    *lanes = 4;
    return SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned int *lanes) {
    (void)device;
    *lanes = 16;
    return SUCCESS;
}

/* The bits of heat, by the hardware, and of the power limit. */
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) {
    (void)device;
    *bits = 0x44;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *errors) {
    (void)device;
    (void)counter;
    *errors = kind == 1 ? 2 : 31;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetPciInfo_v3(void *device, pci_t *place) {
    memset(place, 0, sizeof *place);
    place->bus = 0x3b + (unsigned int)index_of(device);
    snprintf(place->text, sizeof place->text, "00000000:%02X:00.0", place->bus);
    return SUCCESS;
}

int nvmlDeviceGetRemappedRows(void *device, unsigned int *corrected, unsigned int *uncorrected, unsigned int *is_pending,
                              unsigned int *has_failed) {
    (void)device;
    *corrected = *has_failed = 0;
    *uncorrected = *is_pending = 1;
    return is("bad_memory") ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMigMode(void *device, unsigned int *now, unsigned int *after_reset) {
    (void)device;
    *now = *after_reset = 1;
    return is("mig") ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned int *count) {
    (void)device;
    *count = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned int index, void **instance) {
    (void)device;
    *instance = (void *)(size_t)(FIRST_INSTANCE + index);
    return index < 2 ? SUCCESS : NOT_FOUND;
}

int nvmlDeviceGetGpuInstanceId(void *instance, unsigned int *id) {
    *id = 1 + (unsigned int)((size_t)instance - FIRST_INSTANCE);
    return SUCCESS;
}

int nvmlDeviceGetComputeInstanceId(void *instance, unsigned int *id) {
    (void)instance;
    *id = 0;
    return SUCCESS;
}

int nvmlDeviceGetAttributes_v2(void *instance, attributes_t *attributes) {
    (void)instance;
    memset(attributes, 0, sizeof *attributes);
    attributes->gpu_slices = 3;
    attributes->mib = 19968;
    return SUCCESS;
}

/* A set of events is the index of its card plus one; there is one event in the life of the program. */
static size_t registered[64];
static int set_count;
int nvmlEventSetCreate(void **set) {
    if (set_count >= 64) return INSUFFICIENT_SIZE;
    *set = &registered[set_count++];
    return SUCCESS;
}
int nvmlEventSetFree(void *set) { return set ? SUCCESS : NOT_FOUND; }
int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
    (void)types;
    *(size_t *)set = (size_t)device;
    return is("not_supported") ? NOT_SUPPORTED : SUCCESS;
}
int nvmlEventSetWait_v2(void *set, event_t *event, unsigned int milliseconds) {
    static int was_told;
    for (unsigned int waited = 0; waited < milliseconds; waited += 20, usleep(20000)) {
        if (*(size_t *)set != 2 || was_told || !is("xid_lost")) continue;
        was_told = 1;
        *event = (event_t){(void *)2, 8, 79, 0xFFFFFFFF, 0xFFFFFFFF};
        return SUCCESS;
    }
    return TIMEOUT;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(void *device, memory_v2_t *memory) {
    card_t card;
    if (read_card(index_of(device), &card)) {
        memory->total = card.mib * MIB;
        memory->used = 0;
        memory->reserved = 70 * MIB;
        memory->free = memory->total - memory->reserved;
        return SUCCESS;
    }
    if (is_instance(device)) {
        *memory = (memory_v2_t){memory->version, 19968 * MIB, 13 * MIB, 14955 * MIB, 5000 * MIB};
        return SUCCESS;
    }
    memory->total = (is("eight_p4") ? 7680 : 24576) * MIB;
    memory->reserved = (is("eight_p4") ? 70 : 74) * MIB;
    memory->used = (is("eight_p4") ? 0 : 5120 + 512 * wobble(device)) * MIB;
    memory->free = memory->total - memory->used - memory->reserved;
    return SUCCESS;
}
#endif

#if !defined(OLD_DRIVER) || defined(DRIVER_470)
static int list_processes(void *device, unsigned int *count, process_t *processes) {
    const char *pid = is("mig") && (size_t)device != FIRST_INSTANCE ? NULL : getenv("FAKE_NVML_PID");
    unsigned int room = *count;
    *count = pid ? 1 : 0;
    if (!pid) return SUCCESS;
    if (room < 1 || !processes) return INSUFFICIENT_SIZE;
    processes[0] = (process_t){(unsigned int)atoi(pid), 5000 * MIB, 0xFFFFFFFF, 0xFFFFFFFF};
    return SUCCESS;
}

/* Drivers from 470 on have the second form, those from 510 on the third as well. */
int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned int *count, process_t *processes) {
    return list_processes(device, count, processes);
}
#endif

#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_t *processes) {
    return list_processes(device, count, processes);
}
#endif
