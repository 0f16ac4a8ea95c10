/* Stands between a process and its disk: counts what is done to the files below one folder, and at a chosen call kills
 * the caller, freezes everybody, or fails as a full or broken disk does; or writes down every change, in order.
 *
 * Preloaded into the interpreter, it sees what Python does and what SQLite does, in every process that is started. All
 * of them share `struct state` by a mapped file, which the test reads and writes too (shim.py knows the same layout).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE = 1, SYNC = 2, RENAME = 4, TRUNCATE = 8, REMOVE = 16, CREATE = 32, READ = 64 };
enum mode { COUNT, KILL_CALLER, FREEZE_ALL, FAIL_ONCE, FAIL_ALWAYS, RECORD };
enum when { BEFORE, HALFWAY, AFTER };
enum op { OP_WRITE = 1, OP_SYNC, OP_RENAME, OP_TRUNCATE, OP_REMOVE, OP_CREATE, OP_MKDIR };

struct state {
    int64_t count, target;
    int32_t mode, when, kinds, error;
    int32_t fired, pid;
    char what[200];
    char only[40];
};
struct entry {
    uint32_t op, path_length, other_length, data_length;
    uint64_t inode;
    int64_t offset;
};

static struct state *state;
static char root[PATH_MAX];
static size_t root_length;
static const char *trace_path;
static int trace = -1, trace_owner;
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("MEMENTO_SHIM_STATE"), *folder = getenv("MEMENTO_SHIM_ROOT");
    trace_path = getenv("MEMENTO_SHIM_TRACE");
    if (!file || !folder) return;
    int descriptor = REAL(open)(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    state = mapped;
}

static int below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Whether the file behind a descriptor is watched; its path is then in `path`. */
static int watched(int descriptor, char *path) {
    if (!state) return 0;
    int kept = errno;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = kept;
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

static int watched_path(int folder, const char *name, char *path) {
    if (!state || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return below(path);
    }
    char base[PATH_MAX / 2], link[64];
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    int kept = errno;
    ssize_t length = readlink(link, base, sizeof base - 1);
    errno = kept;
    if (length <= 0) return 0;
    base[length] = 0;
    snprintf(path, PATH_MAX, "%s/%s", base, name);
    return below(path);
}

static void end_here(void) {
    if (state->mode == KILL_CALLER) kill(getpid(), SIGKILL);
    for (;;) pause(); /* the test sees that it has fired, and kills everybody */
}

/* Whether this call is of those that are counted. */
static int counts(enum kind kind, const char *call, const char *path) {
    if (!(state->kinds & kind)) return 0;
    char line[sizeof state->only + PATH_MAX];
    snprintf(line, sizeof line, "%s %s", call, path + root_length);
    return strstr(line, state->only) != NULL;
}

/* Whether this call is the chosen one. Where everybody is frozen, nobody gets past a later one either. */
static int chosen(enum kind kind, const char *call, const char *path) {
    if (state->mode == RECORD) return 0;
    if (state->fired && state->mode == FREEZE_ALL && kind != READ) end_here();
    if (!counts(kind, call, path)) return 0;
    int64_t number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    int hit = number == state->target || (state->mode == FAIL_ALWAYS && state->target && number > state->target);
    if (number == state->target) {
        snprintf(state->what, sizeof state->what, "%s %s", call, path + root_length);
        state->pid = getpid();
    }
    return hit && state->mode != COUNT;
}

static void fire(void) { __atomic_store_n(&state->fired, 1, __ATOMIC_SEQ_CST); }
static int fails(void) { return state->mode == FAIL_ONCE || state->mode == FAIL_ALWAYS; }

/* Recording: one lock over all processes, which the kernel drops when its holder is killed. */

static int recorded(void) { return state && state->mode == RECORD; }

static void lock_trace(void) {
    pthread_mutex_lock(&recording);
    if (trace_owner != getpid()) { /* a forked child shares its parent's lock, and needs one of its own */
        trace = REAL(open)(trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        trace_owner = getpid();
    }
    flock(trace, LOCK_EX);
}

static void unlock_trace(void) {
    flock(trace, LOCK_UN);
    pthread_mutex_unlock(&recording);
}

static void tell(enum op op, uint64_t inode, int64_t offset, const char *path, const char *other, const void *data,
                 size_t length) {
    struct entry entry = {op, strlen(path), other ? strlen(other) : 0, length, inode, offset};
    struct iovec parts[] = {{&entry, sizeof entry},
                            {(void *)path, entry.path_length},
                            {(void *)other, entry.other_length},
                            {(void *)data, length}};
    int kept = errno;
    if (REAL(writev)(trace, parts, 4) < 0) abort();
    errno = kept;
}

static uint64_t inode_of(int descriptor) {
    struct stat about;
    return fstat(descriptor, &about) ? 0 : about.st_ino;
}

/* Writing */

static ssize_t put(int descriptor, const void *data, size_t length, off_t offset) {
    return offset < 0 ? REAL(write)(descriptor, data, length) : REAL(pwrite)(descriptor, data, length, offset);
}

static ssize_t watch_write(int descriptor, const void *data, size_t length, off_t offset, const char *call) {
    char path[PATH_MAX];
    if (!watched(descriptor, path)) return put(descriptor, data, length, offset);
    if (recorded()) {
        lock_trace();
        ssize_t written = put(descriptor, data, length, offset);
        if (written > 0) {
            off_t begun = offset < 0 ? lseek(descriptor, 0, SEEK_CUR) - written : offset;
            tell(OP_WRITE, inode_of(descriptor), begun, path, NULL, data, written);
        }
        unlock_trace();
        return written;
    }
    if (!chosen(WRITE, call, path)) return put(descriptor, data, length, offset);
    if (fails()) {
        fire();
        if (state->when == HALFWAY && length > 1 && state->error == ENOSPC && state->mode == FAIL_ONCE)
            return put(descriptor, data, length / 2, offset); /* as a disk does that has room for a part */
        errno = state->error;
        return -1;
    }
    ssize_t written = length;
    if (state->when != BEFORE) written = put(descriptor, data, state->when == HALFWAY ? length / 2 : length, offset);
    fire();
    end_here();
    return written;
}

ssize_t write(int descriptor, const void *data, size_t length) {
    return watch_write(descriptor, data, length, -1, "write");
}
ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    return watch_write(descriptor, data, length, offset, "pwrite");
}
ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) {
    return watch_write(descriptor, data, length, offset, "pwrite");
}

/* Everything else either happens or does not. `AROUND` runs `action` unless the chosen call is to be lost or to fail. */

#define AROUND(kind, call, path, failed, action)                                                                       \
    do {                                                                                                               \
        int hit = chosen(kind, call, path);                                                                            \
        if (hit && fails()) {                                                                                          \
            fire();                                                                                                    \
            errno = state->error;                                                                                      \
            return failed;                                                                                             \
        }                                                                                                              \
        if (hit && state->when == BEFORE) {                                                                            \
            fire();                                                                                                    \
            end_here();                                                                                                \
        }                                                                                                              \
        __typeof__(action) result = action;                                                                            \
        if (hit) {                                                                                                     \
            fire();                                                                                                    \
            end_here();                                                                                                \
        }                                                                                                              \
        return result;                                                                                                 \
    } while (0)

#define RECORDED(action, good, telling)                                                                                \
    if (recorded()) {                                                                                                  \
        lock_trace();                                                                                                  \
        __typeof__(action) result = action;                                                                            \
        if (good) telling;                                                                                             \
        unlock_trace();                                                                                                \
        return result;                                                                                                 \
    }

static ssize_t watch_read(int descriptor, void *data, size_t length, off_t offset) {
    char path[PATH_MAX];
    if (state && (state->kinds & READ) && watched(descriptor, path) && chosen(READ, "read", path) && fails()) {
        fire();
        errno = state->error;
        return -1;
    }
    return offset < 0 ? REAL(read)(descriptor, data, length) : REAL(pread)(descriptor, data, length, offset);
}
ssize_t read(int descriptor, void *data, size_t length) { return watch_read(descriptor, data, length, -1); }
ssize_t pread(int descriptor, void *data, size_t length, off_t offset) {
    return watch_read(descriptor, data, length, offset);
}
ssize_t pread64(int descriptor, void *data, size_t length, off64_t offset) {
    return watch_read(descriptor, data, length, offset);
}

static int watch_sync(int descriptor, int (*action)(int), const char *call) {
    char path[PATH_MAX];
    if (!watched(descriptor, path)) return action(descriptor);
    RECORDED(action(descriptor), result == 0, tell(OP_SYNC, inode_of(descriptor), 0, path, NULL, NULL, 0));
    AROUND(SYNC, call, path, -1, action(descriptor));
}
int fsync(int descriptor) { return watch_sync(descriptor, REAL(fsync), "fsync"); }
int fdatasync(int descriptor) { return watch_sync(descriptor, REAL(fdatasync), "fdatasync"); }

int ftruncate(int descriptor, off_t length) {
    char path[PATH_MAX];
    if (!watched(descriptor, path)) return REAL(ftruncate)(descriptor, length);
    RECORDED(REAL(ftruncate)(descriptor, length), result == 0,
             tell(OP_TRUNCATE, inode_of(descriptor), length, path, NULL, NULL, 0));
    AROUND(TRUNCATE, "ftruncate", path, -1, REAL(ftruncate)(descriptor, length));
}
int ftruncate64(int descriptor, off64_t length) { return ftruncate(descriptor, length); }

int rename(const char *from, const char *to) {
    char source[PATH_MAX], target[PATH_MAX];
    if (!watched_path(AT_FDCWD, from, source) || !watched_path(AT_FDCWD, to, target)) return REAL(rename)(from, to);
    RECORDED(REAL(rename)(from, to), result == 0, tell(OP_RENAME, 0, 0, source, target, NULL, 0));
    AROUND(RENAME, "rename", target, -1, REAL(rename)(from, to));
}

static int remove_at(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!watched_path(folder, name, path)) return REAL(unlinkat)(folder, name, flags);
    RECORDED(REAL(unlinkat)(folder, name, flags), result == 0, tell(OP_REMOVE, 0, 0, path, NULL, NULL, 0));
    AROUND(REMOVE, "unlink", path, -1, REAL(unlinkat)(folder, name, flags));
}
int unlinkat(int folder, const char *name, int flags) { return remove_at(folder, name, flags); }
int unlink(const char *name) { return remove_at(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return remove_at(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!watched_path(AT_FDCWD, name, path)) return REAL(mkdir)(name, mode);
    RECORDED(REAL(mkdir)(name, mode), result == 0, tell(OP_MKDIR, 0, 0, path, NULL, NULL, 0));
    AROUND(CREATE, "mkdir", path, -1, REAL(mkdir)(name, mode));
}

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !watched_path(folder, name, path))
        return REAL(openat)(folder, name, flags, mode);
    if (recorded()) {
        lock_trace();
        int kept = errno, was = !faccessat(folder, name, F_OK, 0);
        errno = kept;
        int descriptor = REAL(openat)(folder, name, flags, mode);
        if (descriptor >= 0 && !was) tell(OP_CREATE, inode_of(descriptor), 0, path, NULL, NULL, 0);
        if (descriptor >= 0 && was && (flags & O_TRUNC))
            tell(OP_TRUNCATE, inode_of(descriptor), 0, path, NULL, NULL, 0);
        unlock_trace();
        return descriptor;
    }
    AROUND(CREATE, "open", path, -1, REAL(openat)(folder, name, flags, mode));
}

#define OPEN(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                               \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }
int open(const char *name, int flags, ...) { OPEN(flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN(flags) return open_at(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { OPEN(flags) return open_at(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { OPEN(flags) return open_at(folder, name, flags, mode); }
