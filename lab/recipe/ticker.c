/* The guest's heartbeat.  Usage: ticker TICK_MS PULSE_MS BALLAST_MIB DIRTY_MIB_S
 *
 * Every TICK_MS: overwrite /disk/<target>/counter with "<counter> <boot_id>" on each disk, fsync it,
 * then print "tick <counter> <boot_id>" on the serial port.  So a printed tick is durable on every
 * disk.  The counter is one number in RAM; a boot goes on from the value found on vda.
 * Every PULSE_MS (0: never), from a process that touches no disk: print "pulse <n>".
 * BALLAST_MIB of RAM is filled with random bytes before the first tick; DIRTY_MIB_S of it is written
 * again each second. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_BYTES = 64, DISKS_MAX = 26 };

static int serial;

static void say(const char *line) {
    /* One write a line, so that lines of several processes do not mix. */
    if (write(serial, line, strlen(line)) < 0) _exit(1);
}

static void pause_until(struct timespec *due, long step_ms) {
    due->tv_nsec += step_ms * 1000000L;
    due->tv_sec += due->tv_nsec / 1000000000L;
    due->tv_nsec %= 1000000000L;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec > due->tv_nsec))
        *due = now; /* late: go on from here, a burst of ticks would hide the gap */
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

static void pulse(long every_ms) {
    struct timespec due;
    char line[48];
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (unsigned long n = 1;; n++) {
        snprintf(line, sizeof line, "pulse %lu\n", n);
        say(line);
        pause_until(&due, every_ms);
    }
}

static uint64_t noise(uint64_t *state) { /* xorshift64: incompressible enough */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Shared, so that a child writes to these pages and not to copies of them. */
static uint64_t *ballast(long mib, uint64_t *state) {
    size_t bytes = (size_t)mib << 20;
    uint64_t *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) {
        say("error ballast\n");
        _exit(1);
    }
    for (size_t i = 0; i < bytes / sizeof *words; i++) words[i] = noise(state);
    return words;
}

static void keep_dirty(uint64_t *words, long mib, long dirty_mib_s, uint64_t *state) {
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    /* 256 pages a MiB, in 100 portions a second. */
    long pages = dirty_mib_s * 256 / 100, page = 0, all = mib * 256;
    if (pages == 0) pages = 1;
    for (;;) {
        for (long i = 0; i < pages; i++, page = (page + 1) % all) words[page * 512] = noise(state);
        pause_until(&due, 10);
    }
}

static unsigned long last_counter(void) {
    char text[RECORD_BYTES + 1] = "";
    int fd = open("/disk/vda/counter", O_RDONLY);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, RECORD_BYTES);
    close(fd);
    return got > 0 ? strtoul(text, NULL, 10) : 0;
}

static int open_counters(int fds[DISKS_MAX], char targets[DISKS_MAX][16]) {
    int count = 0;
    DIR *disks = opendir("/disk");
    for (struct dirent *entry; disks && (entry = readdir(disks)) && count < DISKS_MAX;) {
        char path[300];
        if (entry->d_name[0] == '.' || strlen(entry->d_name) > 15) continue;
        snprintf(path, sizeof path, "/disk/%s/counter", entry->d_name);
        int fd = open(path, O_RDWR | O_CREAT, 0644);
        if (fd < 0) continue; /* mounted read-only */
        snprintf(targets[count], 16, "%.15s", entry->d_name);
        fds[count++] = fd;
    }
    if (disks) closedir(disks);
    return count;
}

int main(int argc, char **argv) {
    long settings[4] = {200, 0, 0, 0};
    for (int i = 1; i < argc && i <= 4; i++) settings[i - 1] = atol(argv[i]);
    serial = open("/dev/ttyS0", O_WRONLY | O_NOCTTY);
    if (serial < 0) return 1;

    char boot_id[40] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    if (fd < 0 || read(fd, boot_id, 36) != 36) return 1;
    close(fd);

    if (settings[1] > 0 && fork() == 0) pulse(settings[1]);
    if (settings[2] > 0) {
        uint64_t state = 88172645463325252ULL ^ (uint64_t)time(NULL);
        uint64_t *words = ballast(settings[2], &state);
        if (settings[3] > 0 && fork() == 0) keep_dirty(words, settings[2], settings[3], &state);
    }

    int fds[DISKS_MAX];
    char targets[DISKS_MAX][16], record[RECORD_BYTES + 1], line[96];
    unsigned long counter = last_counter();
    int count = open_counters(fds, targets);
    sync(); /* the directory entries of new counters are durable before the first tick */

    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (;;) {
        counter++;
        snprintf(record, sizeof record, "%lu %s", counter, boot_id);
        size_t used = strlen(record);
        memset(record + used, ' ', RECORD_BYTES - used);
        record[RECORD_BYTES - 1] = '\n';
        int whole = 1;
        for (int i = 0; i < count; i++) {
            if (pwrite(fds[i], record, RECORD_BYTES, 0) == RECORD_BYTES && fsync(fds[i]) == 0)
                continue;
            snprintf(line, sizeof line, "error %.15s %d\n", targets[i], errno);
            say(line);
            whole = 0;
        }
        if (whole) {
            snprintf(line, sizeof line, "tick %lu %s\n", counter, boot_id);
            say(line);
        }
        pause_until(&due, settings[0]);
    }
}
