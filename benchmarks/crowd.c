/* A crowd of watchers: many raw WebSocket / Engine.IO 4 / Socket.IO 5 connections in one thread, at next to no cost.
 *
 *   crowd PORT ROOMS WATCHERS GAP_MS CONNECT START JOIN DELTA DONE
 *
 * Opens ROOMS x WATCHERS connections to 127.0.0.1:PORT and sends CONNECT on each. The first of each room sends START
 * (its ack names the conversation), every GAP_MS one room; the others then send JOIN, in which %s is the conversation.
 * Prints `ready` when all are in. Frames that begin with DELTA are searched for markers, `@` + 13 digits (monotonic
 * microseconds) + `#` + number of the token in its message; those that begin with DONE are counted.
 * At each line on standard input it prints one line of JSON: totals, and the latencies since the line before.
 * The protocol's names come in as arguments: nothing here knows them. crowd.py compiles and drives this file.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { UPGRADING, OPENING, CONNECTING, WAITING, STARTING, JOINING, WATCHING, CLOSED };
enum { INFLIGHT = 32, READ_BYTES = 1 << 18, BUCKETS = 4096 };

struct connection {
    int fd, index;
    enum state state;
    uint8_t *rest;      /* the beginning of a frame that is not complete yet */
    size_t rest_bytes;
    uint64_t last_marker;
    long last_number;
};

static struct connection *all;
static int port, rooms, watchers, gap_ms, count, opened, connected, started, watching, closed, poll_fd;
static const char *connect_text, *start_text, *join_text, *delta_text, *done_text;
static size_t delta_bytes, done_bytes;
static uint64_t tokens, frames, holes, backwards, done, max_us, histogram[BUCKETS];

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

/* Log-linear: exact below 128 µs, then 64 steps per doubling. */
static int bucket_of(uint64_t us) {
    if (us < 128) return us;
    int exponent = 63 - __builtin_clzll(us);
    int bucket = (exponent - 5) * 64 + (int)((us >> (exponent - 6)) - 64);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double ms_of(int bucket) {
    if (bucket < 128) return bucket / 1000.0;
    int exponent = bucket / 64 + 5;
    return (double)((64ull + bucket % 64) << (exponent - 6)) / 1000;
}

static double percentile_ms(double share, uint64_t total) {
    uint64_t below = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((below += histogram[i]) > share * total) return ms_of(i);
    return max_us / 1000.0;
}

static void close_one(struct connection *c) {
    if (c->state == CLOSED) return;
    c->state = CLOSED;
    closed++;
    close(c->fd);
}

static void send_frame(struct connection *c, int opcode, const char *text, size_t length) {
    uint8_t frame[2048] = {0x80 | opcode, 0x80 | length};
    size_t at = 2;
    if (length > sizeof frame - 8) { fprintf(stderr, "a command is too long\n"); exit(2); }
    if (length > 125) { frame[1] = 0x80 | 126; frame[2] = length >> 8; frame[3] = length; at = 4; }
    memset(frame + at, 0, 4); /* a mask of zeros is legal */
    memcpy(frame + at + 4, text, length);
    if (write(c->fd, frame, at + 4 + length) < 0) close_one(c);
}

static void say(struct connection *c, const char *text) { send_frame(c, 1, text, strlen(text)); }

static void open_next(void) {
    struct connection *c = &all[opened];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    char request[512];
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM, 0), .index = opened++, .last_number = -1};
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) { perror("connect"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int length = snprintf(request, sizeof request,
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", port);
    if (write(c->fd, request, length) < 0) close_one(c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void now_watching(struct connection *c) {
    c->state = WATCHING;
    if (++watching == count) { printf("ready\n"); fflush(stdout); }
}

/* The ack of START: let the others of the room in. */
static void on_started(struct connection *c, const char *ack) {
    const char *id = strstr(ack, "\"conversation_id\":");
    char name[80], command[1024];
    if (!id || sscanf(id + 18, " \"%79[^\"]", name) != 1) { fprintf(stderr, "refused: %.300s\n", ack); exit(1); }
    for (int i = 1; i < watchers; i++) {
        snprintf(command, sizeof command, join_text, name);
        c[i].state = JOINING;
        say(&c[i], command);
    }
    now_watching(c);
}

static void count_markers(struct connection *c, const uint8_t *at, const uint8_t *end, uint64_t now) {
    frames++;
    while (at + 15 < end && (at = memchr(at, '@', end - at)) && at + 15 < end) {
        uint64_t marker = 0;
        int digits = 0;
        while (digits < 13 && at[1 + digits] >= '0' && at[1 + digits] <= '9') marker = marker * 10 + at[1 + digits++] - '0';
        at++;
        if (digits < 13 || at[13] != '#') continue;
        long number = strtol((const char *)at + 14, NULL, 10);
        if (number != 0 && number != c->last_number + 1) holes++;
        if (marker <= c->last_marker) backwards++;
        c->last_marker = marker;
        c->last_number = number;
        tokens++;
        uint64_t late = now > marker ? now - marker : 0;
        histogram[bucket_of(late)]++;
        if (late > max_us) max_us = late;
    }
}

/* One text frame; `text` is followed by a byte that may be overwritten while it is read. */
static void on_packet(struct connection *c, uint8_t *text, size_t length, uint64_t now) {
    if (length == 1 && text[0] == '2') { say(c, "3"); return; }
    if (length >= delta_bytes && !memcmp(text, delta_text, delta_bytes)) { count_markers(c, text, text + length, now); return; }
    if (length >= done_bytes && !memcmp(text, done_text, done_bytes)) { done++; return; }
    if (c->state == OPENING && text[0] == '0') {
        c->state = CONNECTING;
        say(c, connect_text);
    } else if (c->state == CONNECTING && length > 1 && text[0] == '4' && text[1] == '0') {
        c->state = WAITING;
        connected++;
        if (opened < count) open_next();
    } else if (length > 1 && text[0] == '4' && text[1] == '3') { /* an ack */
        uint8_t kept = text[length];
        text[length] = 0;
        if (c->state == STARTING) on_started(c, (char *)text);
        else if (c->state == JOINING) now_watching(c);
        text[length] = kept;
    }
}

static void on_readable(struct connection *c) {
    static uint8_t *buffer;
    static size_t size;
    if (size < c->rest_bytes + READ_BYTES + 1) buffer = realloc(buffer, size = 2 * (c->rest_bytes + READ_BYTES));
    memcpy(buffer, c->rest, c->rest_bytes);
    ssize_t got = recv(c->fd, buffer + c->rest_bytes, READ_BYTES, 0);
    if (got <= 0) { close_one(c); return; }
    uint64_t now = now_us();
    uint8_t *at = buffer, *end = buffer + c->rest_bytes + got;
    if (c->state == UPGRADING) {
        uint8_t *body = memmem(at, end - at, "\r\n\r\n", 4);
        if (body) {
            if (!memmem(at, body - at, " 101 ", 5)) { fprintf(stderr, "no upgrade: %.200s\n", at); exit(1); }
            c->state = OPENING;
            at = body + 4;
        }
    }
    while (c->state != UPGRADING && c->state != CLOSED && end - at >= 2) {
        size_t length = at[1], head = 2;
        if (length == 126) head = 4;
        if (length == 127) head = 10;
        if ((size_t)(end - at) < head) break;
        if (head > 2) { length = 0; for (size_t i = 2; i < head; i++) length = length << 8 | at[i]; }
        if ((size_t)(end - at) < head + length) break;
        int opcode = at[0] & 15;
        if (opcode == 1) on_packet(c, at + head, length, now);
        else if (opcode == 8) close_one(c);
        else if (opcode == 9) send_frame(c, 10, (char *)at + head, length);
        at += head + length;
    }
    c->rest_bytes = end - at;
    c->rest = realloc(c->rest, c->rest_bytes + 1);
    memcpy(c->rest, at, c->rest_bytes);
}

static void report(void) {
    uint64_t total = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    printf("{\"tokens\":%lu,\"frames\":%lu,\"holes\":%lu,\"backwards\":%lu,\"done\":%lu,\"closed\":%d,\"p50\":%.3f,"
           "\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}\n",
           tokens, frames, holes, backwards, done, closed, percentile_ms(0.5, total), percentile_ms(0.99, total),
           percentile_ms(0.999, total), max_us / 1000.0);
    fflush(stdout);
    memset(histogram, 0, sizeof histogram);
    max_us = 0;
}

int main(int argc, char **argv) {
    if (argc != 10) { fprintf(stderr, "see crowd.c\n"); return 2; }
    port = atoi(argv[1]); rooms = atoi(argv[2]); watchers = atoi(argv[3]); gap_ms = atoi(argv[4]);
    connect_text = argv[5]; start_text = argv[6]; join_text = argv[7]; delta_text = argv[8]; done_text = argv[9];
    delta_bytes = strlen(delta_text); done_bytes = strlen(done_text);
    count = rooms * watchers;
    all = calloc(count, sizeof *all);
    poll_fd = epoll_create1(0);
    struct epoll_event events[256], input = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &input);
    while (opened < count && opened < INFLIGHT) open_next();
    for (uint64_t next_start = 0;;) {
        int ready = epoll_wait(poll_fd, events, 256, started < rooms && connected == count ? 1 : -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            char line[256];
            if (c && c->state != CLOSED) on_readable(c);
            if (!c) {
                if (read(0, line, sizeof line) <= 0) return 0;
                report();
            }
        }
        if (connected == count && started < rooms && now_us() >= next_start) {
            struct connection *first = &all[started++ * watchers];
            first->state = STARTING;
            say(first, start_text);
            next_start = now_us() + gap_ms * 1000ull;
        }
    }
}
