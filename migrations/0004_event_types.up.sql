-- The whole vocabulary of events, and the kinds of sources, facts and deliverables (contracts/). Types are added at the end
-- only: append_batch finds them by their number.
alter type run_event_type add value 'RUN_PROGRESS';
alter type run_event_type add value 'RUN_INTERRUPTED';
alter type run_event_type add value 'RUN_RESUMED';
alter type run_event_type add value 'RUN_CANCEL_REQUESTED';
alter type run_event_type add value 'TASK_CANCELLED';
alter type run_event_type add value 'MESSAGE_EDITED';
alter type run_event_type add value 'REASONING_STARTED';
alter type run_event_type add value 'REASONING_DELTA';
alter type run_event_type add value 'REASONING_COMPLETED';
alter type run_event_type add value 'TOOL_CALL_ARGS';
alter type run_event_type add value 'TOOL_CALL_FAILED';
alter type run_event_type add value 'CLARIFICATION_NEEDED';
alter type run_event_type add value 'CLARIFICATION_ANSWERED';
alter type run_event_type add value 'SOURCE_ADDED';
alter type run_event_type add value 'ENTITY_EXTRACTED';
alter type run_event_type add value 'CITATION_ADDED';
alter type run_event_type add value 'ARTIFACT_CREATED';
alter type run_event_type add value 'WEBSITE_GENERATION_DONE';
alter type run_event_type add value 'JOB_QUEUED';
alter type run_event_type add value 'JOB_STARTED';
alter type run_event_type add value 'JOB_PROGRESS';
alter type run_event_type add value 'JOB_RETRYING';
alter type run_event_type add value 'JOB_COMPLETED';
alter type run_event_type add value 'JOB_FAILED';
alter type run_event_type add value 'JOB_CANCELLED';
alter type run_event_type add value 'STATE_SNAPSHOT';
alter type run_event_type add value 'STATE_DELTA';
alter type run_event_type add value 'WARNING';

create domain entity_type as text constraint entity_type_known check (value in (
    'web_page', 'search_result', 'document', 'dataset', 'image', 'audio', 'video', 'code',
    'person', 'organization', 'product', 'place', 'event', 'claim', 'metric',
    'report', 'companion_report', 'generated_website', 'slide_deck', 'chart', 'table', 'export_file'
));
