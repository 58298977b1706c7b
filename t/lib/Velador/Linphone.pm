# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Linphone;
# A Linphone of a test's own: its daemon without sound or screen, by commands over its pipe. Session timers on, refreshes by UPDATE; `sip` are keys of that
# section of its configuration (session_expires_value, session_expires_min_value, session_expires_refresher_value).
#
#	my $bob = Velador::Linphone->start(name => 'bob', sip => { session_expires_value => 4, session_expires_min_value => 2 });    answers by itself; with rings => 1 only on command('answer')
#	$bob->call("sip:100\@$addr"); $bob->wait_state('StreamsRunning'); $bob->hang_up;
#	$bob->received                 Velador::Message of each that came, in order
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use Velador qw(free_port spawn slurp wait_for);
use Velador::Message;

my ($program) = grep { -x } map { "$_/linphone-daemon" } split /:/, $ENV{PATH};
my $serial = 0;

# Why it cannot be had; the empty string where it can.
sub lacks { return $program ? '' : 'linphone-daemon is not installed (Debian: linphone-cli)' }

sub start {
	my ($class, %o) = @_;
	my $dir = tempdir('velador-linphone-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my ($port, $rtp) = map { free_port() } 1, 2;
	my $self = bless { name => $o{name}, addr => "127.0.0.1:$port", dir => $dir, log => "$dir/log", pipe => "/tmp/velador-linphone-$$-" . ++$serial }, $class;
	mkdir $_ for map { "$dir/$_" } qw(.local .local/share .local/share/linphone .config .config/linphone);
	my %sip = (sip_port => $port, sip_tcp_port => 0, sip_tls_port => 0, bind_address => '127.0.0.1', use_ipv6 => 0, guess_hostname => 0, session_expires_enabled => 1,
		contact => "\"$o{name}\" <sip:$o{name}\@$self->{addr}>", default_proxy => -1, %{ $o{sip} // {} });
	my $text = join '', "[sip]\n", (map { "$_=$sip{$_}\n" } sort keys %sip), "[rtp]\naudio_rtp_port=$rtp\nprefer_ipv6=0\n[sound]\nlocal_ring=\n[net]\nnat_policy_ref=\n[video]\nenabled=0\n";
	open my $f, '>', "$dir/rc" or die "$dir: $!\n";
	print $f $text;
	close $f or die "$dir: $!\n";
	local $ENV{HOME} = $dir;
	delete local @ENV{qw(XDG_DATA_HOME XDG_CONFIG_HOME DISPLAY)};
	$self->{pid} = spawn("linphone $o{name}", "$dir/out", $program, '--pipe', $self->{pipe} =~ s{.*/}{}r, '--config', "$dir/rc", '--log', $self->{log}, '--disable-stats-events', ($o{rings} ? () : '--auto-answer'));
	$self->{control} = wait_for(sub { return IO::Socket::UNIX->new(Peer => $self->{pipe}) }, 15, "linphone $o{name}") or die 'linphone did not start: ' . slurp("$dir/out");
	wait_for(sub { return Velador::_bound($port) }, 10, "linphone $o{name} to listen");
	return $self;
}

sub DESTROY { my $self = shift; unlink $self->{pipe} if $self->{pipe}; return }

sub addr { return $_[0]{addr} }
sub pid  { return $_[0]{pid} }

# One command; returns its whole answer.
sub command {
	my ($self, $command) = @_;
	syswrite $self->{control}, "$command\n";
	my $answer = '';
	wait_for(sub {
		while (IO::Select->new($self->{control})->can_read(0.01)) { sysread $self->{control}, $answer, 65536, length $answer or last }
		return $answer =~ /^Status: (?:Ok|Error)\n.*\n\n?\z/ms || $answer =~ /^Status: Ok\n+\z/m;
	}, 5, "linphone's answer to $command");
	return $answer;
}
sub call    { my ($self, $uri) = @_; return $self->command("call $uri") }
sub hang_up { my $self = shift; return $self->command('terminate') }

# The state of its call, or the empty string where it has none.
sub state { my $self = shift; return $self->command('call-status') =~ /^State: \S*?(\w+)$/m ? $1 =~ s/^LinphoneCall//r : '' }
sub wait_state { my ($self, $state, $timeout_s) = @_; return wait_for(sub { return $self->state eq $state }, $timeout_s // 8, "$self->{name} in state '$state'") }

# Its log: a line for each message received or sent, then the message up to the next line of the log.
sub _messages {
	my ($self, $mark) = @_;
	my @found;
	for my $part (split /^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d+ )/m, slurp($self->{log})) {
		my ($raw) = $part =~ /\A[^\n]*\Q$mark\E[^\n]*\n(.*)/s or next;
		my $m = Velador::Message->parse($raw =~ s/\r?\n/\r\n/gr) or next;
		$m->{body} = substr $m->{body}, 0, $m->h('Content-Length') || 0;
		push @found, $m;
	}
	return @found;
}
sub received { return $_[0]->_messages('new bytes from') }
sub sent     { return $_[0]->_messages('message sent to') }

1;
