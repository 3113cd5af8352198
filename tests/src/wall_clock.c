/*
 * Wall clock of the program that preloads this library (ld.so(8), LD_PRELOAD): the machine's own,
 * and as many nanoseconds more as the file that WALL_CLOCK names says, eight bytes in this
 * machine's order. The program sees a change of the file at once. All other clocks stay as they are.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t *ahead;

__attribute__((constructor)) static void
map_ahead(void)
{
	const char *path = getenv("WALL_CLOCK");
	int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);

	/* A program with the wrong clock would make a test pass that shows nothing. */
	if (mapped == MAP_FAILED)
		abort();
	close(file);
	ahead = mapped;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	const int64_t second = 1000000000;

	if (syscall(SYS_clock_gettime, clock, now) != 0)
		return -1;
	if (clock == CLOCK_REALTIME && ahead != NULL) {
		int64_t time = now->tv_sec * second + now->tv_nsec +
		    __atomic_load_n(ahead, __ATOMIC_RELAXED);

		now->tv_sec = time / second;
		now->tv_nsec = time % second;
	}
	return 0;
}
