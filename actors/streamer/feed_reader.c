/* See feed_reader.h. */
#include "streamer/feed_reader.h"

#include "streamer/feed.h"
#include "streamer/feed_pages.h"
#include "streamer/reader.h"
#include "streamer/sse.h"

const struct feed_window *feed_reader_source(struct reader *reader)
{
    struct feed *feed = reader->feed;
    feed_refresh(feed);
    while (reader->cursor < feed->window.from) {
        const struct feed_window *page = feed_pages_find(feed, reader->cursor);
        if (page == NULL || feed_window_last(page) > reader->cursor || reader->skip > 0) {
            return page;
        }
        reader->cursor = page->to;
    }
    return &feed->window;
}

int feed_reader_unsent(struct reader *reader, struct buffer *out, uint64_t *cursor_out)
{
    struct iovec iov;
    const struct window_position at = {reader->cursor, reader->skip};
    const struct feed_window *source = feed_reader_source(reader);
    if (source == NULL || feed_window_gather(source, at, &iov, 1) == 0) {
        return -1;
    }
    buffer_append(out, iov.iov_base, feed_window_left(source, at));
    *cursor_out = feed_window_next(source, reader->cursor);
    return 0;
}

void feed_reader_reset(struct reader *reader, uint64_t head, struct buffer *out)
{
    char cursor[FEED_CURSOR_TEXT_SIZE];
    feed_cursor_encode(&reader->feed->key, head, cursor);
    sse_append_feed_reset(out, cursor);
    reader->cursor = head;
}
