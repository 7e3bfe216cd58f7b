"""The command line of `cst dead-letters`. What it does stands in work.py."""

from typing import Annotated

import typer

app = typer.Typer(help="Messages that could not be handled: look, understand, publish again.", no_args_is_help=True)

Subscription = Annotated[str, typer.Option(help="Only of this subscription; all by default.")]
Reason = Annotated[str, typer.Option(help="Only those whose reason contains this text (any case).")]


@app.command("list")
def list_command(
    subscription: Subscription = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(help="At most so many of each subscription, oldest first.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, with all attributes.")] = False,
) -> None:
    """Topic, id, type, attempts, age and reason of each."""
    from cli.dead_letters.screen import print_list
    from cli.dead_letters.work import Filter, run_list

    print_list(run_list(Filter(subscription=subscription, reason=reason, limit=limit)), as_json=as_json)


@app.command("show")
def show_command(
    message_id: Annotated[str, typer.Argument(help="The id that `list` shows.")],
    subscription: Subscription = "",
) -> None:
    """One dead letter whole: its story, its attributes, its data."""
    from cli.dead_letters.screen import print_letter
    from cli.dead_letters.work import run_show

    print_letter(run_show(message_id, subscription))


@app.command("requeue")
def requeue_command(
    message_ids: Annotated[list[str] | None, typer.Argument(help="Ids that `list` shows.")] = None,
    subscription: Subscription = "",
    reason: Reason = "",
    everything: Annotated[bool, typer.Option("--all", help="Instead of ids: all, or all with the reason.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Publish again, for exactly the subscription each died in. A dead letter goes only once it waits there again."""
    from cli.dead_letters.screen import print_requeued
    from cli.dead_letters.work import Filter, run_requeue

    chosen = Filter(
        subscription=subscription, reason=reason, message_ids=tuple(message_ids or ()), everything=everything
    )
    print_requeued(run_requeue(chosen, dry_run=dry_run), dry_run=dry_run)
