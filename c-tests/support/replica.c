/* A replica of a tree from events alone, and the disk to compare it with.

   It checks less than the oracle of the simulation and of the Rust tests (tests/support/replica.rs): that the names at rest
   are those on the disk, and that no list names one twice. It does not judge the kind of what leaves, the events of the
   root, what happens to an entry beside coming and going, or whether a path was ever true. The C tests are about the ABI:
   what can happen to a tree is played in full there, and only the way through the C functions here. */
#include "harness.h"

#include <dirent.h>

struct entry {
    char *path;
    unsigned named; /* the listing in which it was named last */
    bool blind; /* an ERROR has named it: what is below is not told */
};

struct set {
    struct entry *slots;
    size_t room, used; /* used counts what was removed as well */
    size_t count;
};

static char removed_mark[] = "";

static size_t hash(const char *path)
{
    uint64_t value = 14695981039346656037u;
    for (; *path; path++)
        value = (value ^ (unsigned char)*path) * 1099511628211u;
    return (size_t)(value ^ value >> 29);
}

static struct entry *set_find(const struct set *set, const char *path)
{
    if (!set->room)
        return NULL;
    for (size_t i = hash(path) & (set->room - 1); set->slots[i].path; i = (i + 1) & (set->room - 1))
        if (set->slots[i].path != removed_mark && !strcmp(set->slots[i].path, path))
            return &set->slots[i];
    return NULL;
}

/* Takes the string over. The path must not be in the set. */
static struct entry *set_insert(struct set *set, char *path, unsigned named)
{
    if (2 * (set->used + 1) > set->room) {
        struct set grown = {.room = 64};
        while (grown.room < 4 * (set->count + 1))
            grown.room *= 2;
        grown.slots = calloc(grown.room, sizeof *grown.slots);
        for (size_t i = 0; i < set->room; i++)
            if (set->slots[i].path && set->slots[i].path != removed_mark)
                set_insert(&grown, set->slots[i].path, set->slots[i].named)->blind = set->slots[i].blind;
        free(set->slots);
        *set = grown;
    }
    size_t i = hash(path) & (set->room - 1);
    while (set->slots[i].path)
        i = (i + 1) & (set->room - 1);
    set->slots[i] = (struct entry){.path = path, .named = named};
    set->used++;
    set->count++;
    return &set->slots[i];
}

static void set_remove(struct set *set, struct entry *entry)
{
    free(entry->path);
    entry->path = removed_mark;
    set->count--;
}

#define EACH_ENTRY(set, entry)                                                                                        \
    for (struct entry *entry = (set)->slots; entry < (set)->slots + (set)->room; entry++)                             \
        if (entry->path && entry->path != removed_mark)

static void set_free(struct set *set)
{
    EACH_ENTRY(set, entry) free(entry->path);
    free(set->slots);
    *set = (struct set){0};
}

/* Everything on the disk below the directory (the directory itself not), by fds, symbolic links not followed. */
static void set_scan(struct set *set, int parent, const char *name, const char *path, bool directories_only)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        FAIL("open %s: %s", path, strerror(errno));
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *full = malloc(strlen(path) + strlen(entry->d_name) + 2);
        sprintf(full, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entry->d_name);
        struct stat st;
        SYS(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW));
        if (S_ISDIR(st.st_mode))
            set_scan(set, dirfd(dir), entry->d_name, full, directories_only);
        if (S_ISDIR(st.st_mode) || !directories_only)
            set_insert(set, full, 0);
        else
            free(full);
    }
    closedir(dir);
}

static bool set_is_equal(const struct set *have, const char *have_name, const struct set *want, const char *want_name)
{
    int differences = 0;
    EACH_ENTRY(have, entry) if (!set_find(want, entry->path) && differences++ < 10)
        dprintf(STDOUT_FILENO, "    only %s: %.500s\n", have_name, entry->path);
    EACH_ENTRY(want, entry) if (!set_find(have, entry->path) && differences++ < 20)
        dprintf(STDOUT_FILENO, "    only %s: %.500s\n", want_name, entry->path);
    return differences == 0;
}

/* ---- the replica ---- */

struct limbo { /* what left with a MOVED_FROM and may come back with the MOVED_TO of the same cookie */
    uint32_t cookie;
    char *from;
    struct set below; /* full old paths, the moved entry included */
    struct limbo *next;
};

struct replica {
    char *root;
    struct set entries;
    struct limbo *limbo;
    unsigned listing; /* number of the listing under way or the last one */
    bool in_listing;
    bool lost; /* events were lost: the replica is only right after SYNC_END */
    bool looks; /* replica_look_anew() follows each SYNC_END without a list */
    bool blind_root; /* an ERROR has named the root */
    int wrong; /* CREATE events for what was there already, HEALED events for what was well */
    char first_wrong[600];
};

struct replica *replica_new(const char *root)
{
    struct replica *replica = calloc(1, sizeof *replica);
    replica->root = strdup(root);
    return replica;
}

void replica_scan(struct replica *replica)
{
    set_scan(&replica->entries, AT_FDCWD, replica->root, replica->root, false);
}

static bool is_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return !strncmp(path, top, length) && (path[length] == 0 || path[length] == '/');
}

/* Takes away all that is below a directory, and leaves the directory. */
static void set_prune(struct set *set, const char *top)
{
    EACH_ENTRY(set, entry) if (strcmp(entry->path, top) && is_below(entry->path, top)) set_remove(set, entry);
}

static void replica_remove(struct replica *replica, const char *path, struct set *moved)
{
    char *top = strdup(path); /* path may be the entry's own */
    EACH_ENTRY(&replica->entries, entry) if (is_below(entry->path, top)) {
        if (moved)
            set_insert(moved, strdup(entry->path), entry->named)->blind = entry->blind;
        set_remove(&replica->entries, entry);
    }
    free(top);
}

static void replica_add(struct replica *replica, const char *path)
{
    struct entry *entry = set_find(&replica->entries, path);
    if (!entry)
        entry = set_insert(&replica->entries, strdup(path), 0);
    entry->named = replica->listing;
}

static void limbo_drop(struct limbo **link)
{
    struct limbo *limbo = *link;
    *link = limbo->next;
    free(limbo->from);
    set_free(&limbo->below);
    free(limbo);
}

static void replica_move_in(struct replica *replica, const asyncinotify_event *event)
{
    replica_remove(replica, event->path, NULL);
    for (struct limbo **link = &replica->limbo; event->moved_from && *link; link = &(*link)->next)
        if ((*link)->cookie == event->cookie && !strcmp((*link)->from, event->moved_from)) {
            EACH_ENTRY(&(*link)->below, entry) {
                const char *rest = entry->path + strlen((*link)->from);
                char *path = malloc(event->path_len + strlen(rest) + 1);
                sprintf(path, "%s%s", event->path, rest);
                struct entry *old = set_find(&replica->entries, path);
                if (old)
                    free(path);
                else
                    set_insert(&replica->entries, path, entry->named)->blind = entry->blind;
            }
            limbo_drop(link);
            break;
        }
    replica_add(replica, event->path);
}

/* All is about to be told anew, of which the root's trouble is a reason. */
static void replica_see_all(struct replica *replica)
{
    EACH_ENTRY(&replica->entries, entry) entry->blind = false;
}

/* A directory can't be watched: what is below it is not told. */
static void replica_lose_sight(struct replica *replica, const char *path)
{
    if (!strcmp(path, replica->root)) {
        replica->blind_root = true;
        replica_see_all(replica);
        return;
    }
    struct entry *lost = set_find(&replica->entries, path);
    if (!lost && (replica->lost || replica->looks)) /* nothing has told of it yet */
        lost = set_insert(&replica->entries, strdup(path), 0);
    if (lost) {
        set_prune(&replica->entries, lost->path);
        lost->blind = true;
    }
}

/* It is watched again, and what is below was told. */
static void note_wrong(struct replica *replica, const char *what, const asyncinotify_event *event)
{
    if (!replica->wrong++)
        snprintf(replica->first_wrong, sizeof replica->first_wrong, "%s: %.500s", what, event_text(event));
}

static void replica_heal(struct replica *replica, const asyncinotify_event *event)
{
    struct entry *entry = set_find(&replica->entries, event->path);
    bool *blind = !strcmp(event->path, replica->root) ? &replica->blind_root : entry ? &entry->blind : NULL;
    bool odd = event->flags != ASYNCINOTIFY_EVENT_HEALED || event->mask != IN_ISDIR || event->error;
    if (odd || ((!blind || !*blind) && !replica->lost)) {
        note_wrong(replica, "HEALED of what was well", event);
    }
    if (blind)
        *blind = false;
}

void replica_apply(struct replica *replica, const asyncinotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        replica->lost = true;
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_BEGIN) {
        replica->listing++;
        replica_see_all(replica);
        replica->in_listing = true;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_SYNC_END) {
        if (replica->in_listing)
            EACH_ENTRY(&replica->entries, entry) if (entry->named != replica->listing) set_remove(&replica->entries, entry);
        /* Without a list nothing tells what has changed, and a program looks itself; what came just before may seem strange. */
        replica->lost = replica->looks && !replica->in_listing;
        if (replica->lost)
            replica->wrong = 0;
        replica->in_listing = false;
    }
    if (event->flags & ASYNCINOTIFY_EVENT_ERROR)
        replica_lose_sight(replica, event->path);
    if (event->flags & ASYNCINOTIFY_EVENT_HEALED)
        replica_heal(replica, event);
    if (!event->path || !event->name)
        return;
    if (event->mask & IN_CREATE) {
        const struct entry *known = set_find(&replica->entries, event->path);
        /* What the list has not named may have gone. */
        bool may_be_new = replica->in_listing && known && known->named != replica->listing;
        bool listed_again = replica->in_listing && (event->flags & ASYNCINOTIFY_EVENT_SYNTHETIC);
        bool is_told_all = !replica->lost && !replica->blind_root;
        if (known && !may_be_new && !listed_again && is_told_all) {
            note_wrong(replica, "CREATE of what was there already", event);
        }
        replica_add(replica, event->path);
    }
    if (event->mask & IN_DELETE)
        replica_remove(replica, event->path, NULL);
    if (event->mask & IN_MOVED_FROM) {
        struct limbo *limbo = calloc(1, sizeof *limbo);
        *limbo = (struct limbo){.cookie = event->cookie, .from = strdup(event->path), .next = replica->limbo};
        replica_remove(replica, event->path, &limbo->below);
        replica->limbo = limbo;
    }
    if (event->mask & IN_MOVED_TO)
        replica_move_in(replica, event);
}

void replica_apply_log(struct replica *replica, const struct log *log)
{
    for (size_t i = 0; i < log->count; i++)
        replica_apply(replica, log->events[i]);
}

void replica_follow(struct replica *replica, asyncinotify *in)
{
    struct log log = {0};
    collect(in, &log);
    replica_apply_log(replica, &log);
    log_clear(&log);
}

void replica_check(const char *file, int line, struct replica *replica)
{
    struct set disk = {0};
    set_scan(&disk, AT_FDCWD, replica->root, replica->root, false);
    EACH_ENTRY(&replica->entries, entry) if (entry->blind) set_prune(&disk, entry->path);
    bool is_whole = !replica->blind_root; /* else it was told that it may not be */
    if (is_whole && !set_is_equal(&replica->entries, "in the replica", &disk, "on the disk"))
        test_fail(file, line, "the replica of %s (%zu entries) differs from the disk (%zu)", replica->root,
                  replica->entries.count, disk.count);
    /* A repair without a list that can't end before the root is there again is told by nothing but SYNC_END then. */
    bool may_be_strange = replica->blind_root && replica->looks;
    if (replica->wrong && !may_be_strange)
        test_fail(file, line, "%d events were wrong, the first a %s", replica->wrong, replica->first_wrong);
    set_free(&disk);
}

static bool is_blind(const struct replica *replica, const struct set *entries, const char *path)
{
    const struct entry *entry = set_find(entries, path);
    return !strcmp(path, replica->root) ? replica->blind_root : entry && entry->blind;
}

static int see_trouble(asyncinotify *in, const char *path, size_t path_len, int error, void *userdata)
{
    (void)in, (void)path_len;
    const struct replica *replica = userdata;
    if (!is_blind(replica, &replica->entries, path))
        FAIL("%s can't be watched (%s), and no ERROR has told so", path, strerror(error));
    return 0;
}

void replica_check_troubles(struct replica *replica, asyncinotify *in, asyncinotify_watch id)
{
    intptr_t count = OK(asyncinotify_watch_each_trouble(in, id, see_trouble, replica));
    int blind = replica->blind_root;
    EACH_ENTRY(&replica->entries, entry) blind += entry->blind;
    if (count != blind)
        FAIL("%d directories were told of that can't be watched, and there are %d", blind, (int)count);
}

struct look {
    struct replica *replica;
    struct set old;
};

static int keep_blind(asyncinotify *in, const char *path, size_t path_len, int error, void *userdata)
{
    (void)in, (void)path_len, (void)error;
    struct look *look = userdata;
    if (is_blind(look->replica, &look->old, path))
        replica_lose_sight(look->replica, path);
    return 0;
}

void replica_will_look(struct replica *replica, bool first)
{
    replica->looks = true;
    replica->lost |= first;
}

void replica_look_anew(struct replica *replica, asyncinotify *in, asyncinotify_watch id)
{
    struct look look = {replica, replica->entries};
    replica->entries = (struct set){0};
    replica->lost = false;
    replica_scan(replica);
    OK(asyncinotify_watch_each_trouble(in, id, keep_blind, &look));
    set_free(&look.old);
}

void replica_free(struct replica *replica)
{
    while (replica->limbo)
        limbo_drop(&replica->limbo);
    set_free(&replica->entries);
    free(replica->root);
    free(replica);
}

struct directory_list {
    struct set set;
    asyncinotify *in;
    int twice;
};

static int see_directory(asyncinotify *in, const char *path, size_t path_len, void *userdata)
{
    struct directory_list *list = userdata;
    CHECK(in == list->in);
    CHECK_INT(strlen(path), path_len);
    if (set_find(&list->set, path)) {
        dprintf(STDOUT_FILENO, "    listed twice: %.500s\n", path);
        list->twice++;
    } else {
        set_insert(&list->set, strdup(path), 0);
    }
    return 0;
}

void check_directories(const char *file, int line, asyncinotify *in, asyncinotify_watch id, const char *root)
{
    struct directory_list list = {.in = in};
    intptr_t count = asyncinotify_watch_each_directory(in, id, see_directory, &list);
    check_ok(file, line, "asyncinotify_watch_each_directory", count);
    check_int(file, line, "what watch_each_directory returns", count, "calls", (long long)list.set.count + list.twice);
    struct set disk = {0};
    set_scan(&disk, AT_FDCWD, root, root, true);
    set_insert(&disk, strdup(root), 0);
    if (!set_is_equal(&list.set, "watched", &disk, "on the disk") || list.twice)
        test_fail(file, line, "the directories watched (%zu) are not those on the disk (%zu)", list.set.count, disk.count);
    set_free(&list.set);
    set_free(&disk);
}
