import { Component, type ReactNode } from 'react';

/**
 * A part of the page that failed says so, with a way on, instead of a blank page. The usual reason is a newer release:
 * the code that this page would load has another name now.
 */
export class Boundary extends Component<{ children: ReactNode }, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <div className="page" role="alert">
        <p>This page cannot be shown. It may have been updated meanwhile.</p>
        <p className="hint">{error.message}</p>
        <button type="button" className="primary" onClick={() => location.reload()}>
          Load it again
        </button>
      </div>
    );
  }
}
