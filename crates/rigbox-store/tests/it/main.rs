//! One suite for both engines: a real SQLite file, and a real PostgreSQL server that each test
//! starts for itself.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod accounts;
mod ai;
mod api_keys;
mod apps;
mod audit;
mod bad_days;
mod bindings;
mod certificates;
mod durability;
mod feed;
mod hosts;
mod idempotency;
mod identities;
mod kit;
mod ledger;
mod observe;
mod postgres;
mod quotas;
mod rates;
mod samples;
mod schema;
mod scripts;
mod sign_in;
mod specs;
mod ssh_keys;
mod transfer;
mod workspaces;

/// Makes each case a test of SQLite and a test of PostgreSQL.
macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        mod on_sqlite {
            $(mod $module { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(crate::kit::World::on_sqlite().await).await;
                }
            )* })*
        }
        mod on_postgres {
            $(mod $module { $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(crate::kit::World::on_postgres().await).await;
                }
            )* })*
        }
    };
}

cases! {
    accounts:
        many_starts_at_once_make_one_operator
        a_user_is_made_once
        an_address_belongs_to_one_account
        an_account_and_its_first_key_are_made_together
        an_account_from_before_there_were_plans_has_one
        accounts_are_changed_and_listed
        a_plan_is_made_changed_and_deleted_once_nobody_has_it
        a_setting_is_kept_and_the_first_one_wins;
    ai:
        what_nobody_has_decided_is_off_and_managed
        a_workspace_decides_before_its_account_and_its_guest_last
        what_a_workspace_has_not_decided_its_account_does
        a_key_of_a_workspace_counts_before_that_of_its_account
        keys_and_settings_go_with_their_workspace
        a_change_reaches_the_workspaces_that_it_is_about
        a_key_is_encrypted_anew_unless_it_was_set_meanwhile
        a_switch_counts_at_once_whatever_was_kept
        a_switch_counts_beside_leases_that_change_nothing
        looking_at_the_index_takes_no_lock_from_sqlite
        a_disabled_account_is_told_to_the_proxy
        what_calls_have_used_is_added_up;
    api_keys:
        a_key_is_found_by_its_prefix_and_known_by_its_hash
        a_key_belongs_to_one_account
        the_last_use_is_noted_to_the_minute
        keys_are_bounded_and_the_oldest_make_room
        a_key_keeps_its_scopes_and_one_from_before_them_is_full
        a_rotated_key_is_the_same_with_another_secret
        whoever_watches_is_told_of_a_key_that_ends;
    apps:
        an_app_is_read_back_as_it_was_made
        a_name_is_one_app_s_and_stays_with_its_account_for_a_day
        of_many_apps_at_once_as_many_are_made_as_the_plan_says
        an_edge_is_told_of_what_happens_to_apps_and_their_workspaces
        the_whole_set_of_routes_comes_in_parts
        apps_go_with_their_workspace
        a_disabled_owner_is_told_to_edges
        a_domain_is_verified_for_one_app
        a_link_ends_by_itself_or_is_taken_back_with_its_cookies
        links_of_an_app_are_bounded
        a_token_serves_once_and_a_cookie_ends_with_its_session
        an_app_has_one_primary_log_source;
    audit:
        entries_of_many_writers_make_one_chain
        an_account_sees_its_own_entries_page_by_page
        what_was_tampered_with_is_found
        a_record_that_is_cut_off_at_its_old_end_is_whole;
    bad_days:
        a_value_that_cannot_be_read_names_its_column
        calls_of_a_closed_store_say_so
        a_transaction_that_is_dropped_has_no_effect;
    bindings:
        an_account_has_one_role_on_a_thing
        roles_are_given_on_what_there_is_to_whom_there_is
        what_is_said_of_a_workspace_goes_with_it
        of_many_roles_at_once_as_many_are_given_as_there_may_be
        what_others_have_given_leaves_room_for_what_an_owner_gives
        what_is_shared_is_listed_page_by_page
        a_role_with_conditions_brings_the_tags_they_need
        a_profile_of_rates_is_kept_until_it_is_cleared;
    durability:
        what_a_killed_writer_was_promised_is_there;
    certificates:
        a_certificate_takes_the_place_of_the_one_before
        many_certificates_are_read_in_parts
        of_many_first_starts_one_makes_the_ca_and_the_account
        one_process_at_a_time_orders_for_a_name
        what_failed_is_tried_again_when_it_was_said
        orders_stay_within_the_budget_of_an_authority
        challenges_are_up_until_their_end
        keys_of_tickets_are_made_in_turn_by_one_of_many;
    feed:
        a_reader_misses_nothing_while_many_write
        many_changes_come_in_parts
        a_removal_is_told_until_it_is_forgotten
        a_position_of_another_database_is_a_gap
        watchers_are_woken_by_every_change
        a_watcher_that_sleeps_is_told_to_look_at_everything
        the_whole_set_comes_in_parts;
    hosts:
        a_host_registers_again_at_each_start
        images_are_those_that_hosts_last_said
        what_is_promised_is_summed_from_the_workspaces
        sums_of_hosts_follow_every_change
        memory_is_promised_until_the_vm_is_known_to_be_gone;
    idempotency:
        a_repeat_gets_the_first_answer
        another_request_with_the_same_key_is_a_mismatch
        of_many_at_once_one_works
        a_refused_request_gives_its_key_back
        an_account_has_so_many_keys_and_no_more
        after_a_day_a_key_is_new
        whoever_takes_over_finds_what_was_made
        a_claim_holds_as_long_as_it_is_renewed
        a_writer_that_is_alone_gives_back_what_a_former_one_held
        a_change_is_noted_with_its_claim
        what_is_added_is_noted_with_its_claim
        keys_of_two_accounts_are_two_keys;
    identities:
        of_many_sign_ins_at_once_one_makes_the_account
        a_subject_keeps_its_account_whatever_its_address_becomes
        an_account_that_cannot_be_made_leaves_no_identity
        an_identity_is_linked_once_and_taken_back
        a_ticket_serves_once;
    ledger:
        of_many_holds_at_once_as_many_pass_as_the_balance_pays_for
        a_call_is_charged_once_whatever_it_was_held_for
        a_hold_is_given_back_once_and_a_late_charge_still_counts
        a_month_has_one_grant_and_what_is_left_expires
        another_plan_gives_the_difference_and_takes_nothing
        an_account_without_a_limit_is_granted_what_it_uses
        an_operator_gives_and_takes_once_for_each_key
        holds_of_a_process_that_is_gone_are_recovered_once
        numbers_beyond_the_bounds_are_refused
        nothing_in_the_ledger_is_changed_or_deleted
        what_was_tampered_with_is_found_by_a_recomputation
        a_statement_comes_page_by_page
        of_many_settlements_at_once_one_charges
        any_sequence_does_what_a_simple_model_says
        a_lease_is_of_what_is_free_and_of_no_more
        an_account_without_a_limit_leases_nothing
        a_call_is_posted_once_whoever_posts_it
        a_posting_that_is_not_right_writes_nothing
        of_many_leases_at_once_no_more_is_held_than_there_is
        of_many_postings_at_once_one_charges
        any_sequence_of_leases_does_what_a_simple_model_says;
    observe:
        only_a_newer_observation_of_the_right_host_counts
        a_generation_that_was_never_wanted_is_not_believed
        a_deleted_workspace_goes_when_the_host_has_nothing_of_it
        a_report_is_applied_whole
        the_first_host_key_that_is_seen_stays
        reports_and_changes_at_once_do_not_block_each_other;
    rates:
        of_many_draws_at_once_as_many_pass_as_there_are_tokens
        tokens_come_back_with_time;
    samples:
        samples_are_read_back_in_their_order
        samples_are_forgotten_after_a_week
        samples_go_with_their_workspace;
    quotas:
        of_many_at_once_as_many_are_made_as_the_account_may_have
        of_many_started_at_once_as_many_run_as_the_plan_has_memory_for
        one_workspace_has_a_size_of_its_own
        a_lowered_plan_takes_nothing_and_lets_nothing_grow
        a_plan_that_is_lowered_while_many_are_made_is_never_passed_by
        keys_are_counted_against_the_plan;
    schema:
        every_step_can_be_repeated
        an_upgrade_from_any_point_ends_like_a_fresh_start
        many_starts_at_once_make_one_schema
        a_newer_schema_is_refused_and_left_alone;
    scripts:
        a_script_is_kept_changed_and_forgotten
        scripts_are_listed_in_the_order_in_which_they_run
        a_change_of_a_script_reaches_the_workspaces_that_have_it
        scripts_of_another_account_do_not_exist
        of_many_scripts_at_once_as_many_are_kept_as_may_be;
    sign_in:
        a_session_is_known_by_its_secret_and_ends
        of_two_that_change_a_secret_at_once_one_does
        sessions_are_bounded_and_whoever_watches_is_told_of_their_end
        what_was_shown_before_all_sessions_ended_opens_none
        of_many_that_redeem_a_link_at_once_one_does
        attempts_at_once_are_counted_one_by_one
        a_request_is_decided_once_and_makes_one_key
        requests_are_bounded_in_number_and_time
        a_request_that_has_ended_takes_no_place_of_those_that_wait
        a_code_works_once_and_recovery_codes_go_with_their_factor;
    ssh_keys:
        a_key_is_there_once_within_its_account
        of_many_keys_at_once_as_many_are_kept_as_may_be
        a_change_of_keys_reaches_every_workspace_of_the_account;
    specs:
        a_spec_is_kept_changed_and_forgotten
        a_name_of_a_spec_is_taken_once
        an_account_has_no_more_specs_than_it_may
        a_change_of_a_spec_reaches_the_workspaces_that_have_it;
    transfer:
        what_was_exported_is_loaded_row_by_row
        every_table_is_in_an_export
        an_export_is_one_moment_while_others_write
        an_export_names_the_workspaces_of_its_moment
        a_stream_that_is_not_whole_loads_nothing;
    workspaces:
        a_workspace_is_read_back_as_it_was_made
        a_name_is_taken_once_within_an_account
        what_it_needs_must_exist
        of_many_at_once_as_many_are_made_as_the_host_has_room_for
        of_many_started_at_once_as_many_run_as_there_is_memory_for
        what_could_never_run_is_not_made
        a_running_workspace_keeps_running_while_its_host_takes_note
        a_change_has_its_own_generation_and_revision
        an_edit_that_refuses_or_changes_nothing_writes_nothing
        no_change_is_lost_when_many_change_at_once
        growing_must_fit_and_shrinking_always_does
        pages_are_stable_while_workspaces_come
        a_list_shows_no_environment
        a_clock_that_goes_back_makes_nothing_older;
}
